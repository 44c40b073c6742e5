//! Many workers: each claim about a fleet, with FFmpeg stood in for.

mod coming_and_going;
mod figures;
mod free_slots;
mod limits;
mod load;
mod rolling_restart;
mod ten_of_each;
mod watch;
