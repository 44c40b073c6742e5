//! Those who come while something is under way go together next. Nobody waits when nothing is under way, so an idle system
//! loses no time, and a busy one pays once for many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// So many go together at most.
const MOST: usize = 256;

/// Cheap to clone.
pub struct Company<T, R>(Arc<Mutex<Waiting<T, R>>>);

struct Waiting<T, R> {
    items: Vec<(T, oneshot::Sender<R>)>,
    under_way: bool,
}

impl<T, R> Clone for Company<T, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T, R> Default for Company<T, R> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting { items: Vec::new(), under_way: false })))
    }
}

impl<T: Send + 'static, R: Send + 'static> Company<T, R> {
    /// What came of this item, which went with whatever came meanwhile. `act` gives as many results as it gets items, in
    /// their order. None: it ended before it had one for this.
    pub async fn join<A, F>(&self, item: T, act: A) -> Option<R>
    where
        A: Fn(Vec<T>) -> F + Send + 'static,
        F: Future<Output = Vec<R>> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting();
            waiting.items.push((item, tell));
            !std::mem::replace(&mut waiting.under_way, true)
        };
        if first {
            // Not dropped with the one who came first.
            tokio::spawn(self.clone().lead(act));
        }
        told.await.ok()
    }

    async fn lead<A, F>(self, act: A)
    where
        A: Fn(Vec<T>) -> F + Send + 'static,
        F: Future<Output = Vec<R>> + Send + 'static,
    {
        let over = Over(&self);
        while let Some(next) = self.next() {
            let (items, tell): (Vec<T>, Vec<oneshot::Sender<R>>) = next.into_iter().unzip();
            for (result, tell) in act(items).await.into_iter().zip(tell) {
                // Who no longer waits needs no answer.
                tell.send(result).ok();
            }
        }
        std::mem::forget(over);
    }

    /// None: nobody has come meanwhile, and the next one leads.
    fn next(&self) -> Option<Vec<(T, oneshot::Sender<R>)>> {
        let mut waiting = self.waiting();
        if waiting.items.is_empty() {
            waiting.under_way = false;
            return None;
        }
        let most = waiting.items.len().min(MOST);
        Some(waiting.items.drain(..most).collect())
    }
}

impl<T, R> Company<T, R> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<T, R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A leader that panics or ends with its runtime leaves nobody waiting for it.
struct Over<'c, T, R>(&'c Company<T, R>);

impl<T, R> Drop for Over<'_, T, R> {
    fn drop(&mut self) {
        let left = {
            let mut waiting = self.0.waiting();
            waiting.under_way = false;
            std::mem::take(&mut waiting.items)
        };
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_while_something_is_under_way_goes_together_next() {
        let company: Company<u32, usize> = Company::default();
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let act = || {
            let gate = gate.clone();
            move |items: Vec<u32>| {
                let gate = gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    vec![items.len(); items.len()]
                }
            }
        };
        let come = |item| {
            let (company, act) = (company.clone(), act());
            tokio::spawn(async move { company.join(item, act).await })
        };
        let until = async |waiting: usize| {
            let stands = || {
                let all = company.waiting();
                all.under_way && all.items.len() == waiting
            };
            while !stands() {
                tokio::task::yield_now().await;
            }
        };
        let mut joined = vec![come(0)];
        until(0).await;
        joined.extend((1..5).map(come));
        until(4).await;
        gate.add_permits(9);
        let mut sizes = Vec::new();
        for one in joined {
            sizes.push(one.await.unwrap().unwrap());
        }
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 4, 4, 4, 4]);
    }

    #[tokio::test]
    async fn a_leader_that_fails_leaves_nobody_waiting() {
        let company: Company<u32, u32> = Company::default();
        assert_eq!(company.join(1, |_| async { panic!("as the test wants it") }).await, None);
        assert_eq!(company.join(2, |items| async move { items }).await, Some(2));
    }
}
