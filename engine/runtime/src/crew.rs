//! Activations that run at the same time, each as a task of its own, so that they use all cores. What has ended is left in
//! one place, from which the driver takes everything at once.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::task::JoinHandle;

use crate::lock::lock;

/// Tasks that end when this is dropped.
pub(crate) struct Crew<T> {
    shared: Arc<Shared<T>>,
    /// By the number of a task; none for those that have ended.
    handles: Vec<Option<JoinHandle<()>>>,
    free: Vec<usize>,
    running: usize,
    /// What was taken from there, oldest first.
    ended: VecDeque<(usize, Option<T>)>,
}

struct Shared<T> {
    /// Numbers of tasks, and what they came to; nothing of those that were dropped.
    ended: Mutex<VecDeque<(usize, Option<T>)>>,
    waker: AtomicWaker,
}

impl<T: Send + 'static> Crew<T> {
    pub(crate) fn new() -> Self {
        let shared = Shared { ended: Mutex::new(VecDeque::new()), waker: AtomicWaker::new() };
        let shared = Arc::new(shared);
        Self { shared, handles: Vec::new(), free: Vec::new(), running: 0, ended: VecDeque::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running == 0
    }

    /// Begins a task and gives its number, which is its own until it has ended.
    pub(crate) fn spawn(&mut self, work: impl Future<Output = T> + Send + 'static) -> usize {
        let number = self.free.pop().unwrap_or(self.handles.len());
        let report = Report { shared: self.shared.clone(), number, value: None };
        let handle = tokio::spawn(async move { report.tell(work.await) });
        match self.handles.get_mut(number) {
            Some(place) => *place = Some(handle),
            None => self.handles.push(Some(handle)),
        }
        self.running += 1;
        number
    }

    /// Drops a task; nothing is heard of it any more.
    pub(crate) fn abort(&self, number: usize) {
        if let Some(handle) = self.handles.get(number).and_then(Option::as_ref) {
            handle.abort();
        }
    }

    /// What ended next; pending too if nothing runs.
    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<T> {
        while self.running > 0 {
            let Some((number, value)) = self.ended.pop_front() else {
                self.shared.waker.register(context.waker());
                std::mem::swap(&mut self.ended, &mut lock(&self.shared.ended));
                if self.ended.is_empty() {
                    return Poll::Pending;
                }
                continue;
            };
            self.handles[number] = None;
            self.free.push(number);
            self.running -= 1;
            if let Some(value) = value {
                return Poll::Ready(value);
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Crew<T> {
    fn drop(&mut self) {
        self.handles.iter().flatten().for_each(JoinHandle::abort);
    }
}

/// Reports the end of a task, however it ends.
struct Report<T> {
    shared: Arc<Shared<T>>,
    number: usize,
    value: Option<T>,
}

impl<T> Report<T> {
    fn tell(mut self, value: T) {
        self.value = Some(value);
    }
}

impl<T> Drop for Report<T> {
    fn drop(&mut self) {
        let mut ended = lock(&self.shared.ended);
        let first = ended.is_empty();
        ended.push_back((self.number, self.value.take()));
        drop(ended);
        // Whoever takes one takes all, so the others need not wake it.
        if first {
            self.shared.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn next<T: Send + 'static>(crew: &mut Crew<T>) -> T {
        poll_fn(|context| crew.poll(context)).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_task_is_heard_of_once_and_numbers_are_used_again() {
        let mut crew = Crew::new();
        let mut heard = Vec::new();
        for round in 0..100 {
            for task in 0..50 {
                crew.spawn(async move {
                    if task % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                    round * 50 + task
                });
            }
            while !crew.is_empty() {
                heard.push(next(&mut crew).await);
            }
        }
        heard.sort_unstable();
        assert!(heard.into_iter().eq(0..5_000));
        assert_eq!(crew.handles.len(), 50);
    }

    #[tokio::test]
    async fn nothing_is_heard_of_what_was_aborted_and_the_rest_goes_on() {
        let mut crew = Crew::new();
        let stuck = crew.spawn(std::future::pending());
        crew.spawn(async { 1 });
        crew.abort(stuck);
        assert_eq!(next(&mut crew).await, 1);
        poll_fn(|context| {
            assert!(crew.poll(context).is_pending());
            if crew.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test]
    async fn what_runs_ends_with_the_crew() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let mut crew = Crew::new();
        crew.spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        drop(crew);
        assert!(receiver.await.is_err(), "the task was dropped with what it held");
    }
}
