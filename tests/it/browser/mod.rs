//! The pages as people use them, in headless Chromium.

mod creator;
mod driver;
mod everybody;
mod operator;

use driver::Browser;
