//! What the documentation of [`Checkpointer`] and [`Journal`] promises, as tests.

use std::sync::Arc;

use statewright_engine_runtime::{
    Ack, Checkpointer, Durability, Entry, EntryKind, Journal, Seq, StoreError, ThreadId,
};

const EVERYTHING: [(Seq, Seq); 1] = [(1, u64::MAX >> 1)];

/// Checks a store at every durability level. `make` gives an empty store each time.
///
/// # Panics
/// With the promise that the store does not keep.
pub async fn checkpointer(make: impl Fn() -> Arc<dyn Checkpointer>) {
    for durability in [Durability::Power, Durability::Process, Durability::Exit] {
        let suite = Suite { store: make(), durability };
        suite.an_unknown_thread_is_empty().await;
        suite.entries_come_back_as_they_were_appended().await;
        suite.ranges_are_closed_and_ascending().await;
        suite.the_latest_snapshot_is_the_last_one().await;
        suite.only_the_next_position_is_accepted().await;
        suite.an_acknowledgement_covers_everything_before_it().await;
        suite.a_held_thread_is_busy().await;
        suite.a_thread_goes_on_where_it_ended().await;
        suite.what_was_not_awaited_is_a_prefix().await;
        suite.threads_do_not_see_each_other().await;
        suite.many_threads_at_once().await;
    }
}

struct Suite {
    store: Arc<dyn Checkpointer>,
    durability: Durability,
}

impl Suite {
    async fn open(&self, thread: &ThreadId) -> Box<dyn Journal> {
        match self.store.open(thread, self.durability).await {
            Ok(journal) => journal,
            Err(error) => panic!("the free thread `{thread}` cannot be opened: {error}"),
        }
    }

    async fn all(&self, thread: &ThreadId) -> Vec<Entry> {
        self.range(thread, &EVERYTHING).await
    }

    async fn range(&self, thread: &ThreadId, ranges: &[(Seq, Seq)]) -> Vec<Entry> {
        match self.store.entries(thread, ranges).await {
            Ok(entries) => entries,
            Err(error) => panic!("the entries {ranges:?} of `{thread}` cannot be read: {error}"),
        }
    }

    async fn latest(&self, thread: &ThreadId) -> Option<Entry> {
        match self.store.latest_snapshot(thread).await {
            Ok(entry) => entry,
            Err(error) => panic!("the latest snapshot of `{thread}` cannot be read: {error}"),
        }
    }

    async fn an_unknown_thread_is_empty(&self) {
        let thread = ThreadId::new("nobody");
        assert_eq!(self.latest(&thread).await, None, "a thread that was never written has no snapshot");
        assert_eq!(self.all(&thread).await, [], "a thread that was never written has no entries");
        drop(self.open(&thread).await);
        assert_eq!(self.all(&thread).await, [], "opening a thread writes no entry");
    }

    async fn entries_come_back_as_they_were_appended(&self) {
        let thread = ThreadId::new("as they were; \"quoted\" 'twice' %_/\\ \u{1f980}");
        let mut journal = self.open(&thread).await;
        let bodies = [vec![], vec![0], (0..=255).collect(), vec![0xff; 300_000], b"text".to_vec()];
        let mut wanted = Vec::new();
        for (place, bytes) in bodies.into_iter().enumerate() {
            let kind = if place % 2 == 0 { EntryKind::Record } else { EntryKind::Snapshot };
            let entry = Entry { seq: place as Seq + 1, kind, bytes };
            stored(journal.append(entry.clone())).await;
            wanted.push(entry);
            assert_eq!(
                self.all(&thread).await,
                wanted,
                "an acknowledged entry can be read, unchanged and without the lock"
            );
        }
    }

    async fn ranges_are_closed_and_ascending(&self) {
        let thread = ThreadId::new("ranges");
        let mut journal = self.open(&thread).await;
        fill(&mut *journal, 1, 10).await;
        type Case = (&'static [(Seq, Seq)], &'static [Seq]);
        let cases: [Case; 7] = [
            (&[], &[]),
            (&[(3, 3)], &[3]),
            (&[(1, 2), (5, 7)], &[1, 2, 5, 6, 7]),
            (&[(0, 1)], &[1]),
            (&[(9, 40)], &[9, 10]),
            (&[(11, 12)], &[]),
            (&[(2, 2), (4, 4), (6, 6), (10, u64::MAX >> 1)], &[2, 4, 6, 10]),
        ];
        for (ranges, wanted) in cases {
            let found: Vec<Seq> = self.range(&thread, ranges).await.iter().map(|entry| entry.seq).collect();
            assert_eq!(found, wanted, "the ranges {ranges:?} of 10 entries");
        }
    }

    async fn the_latest_snapshot_is_the_last_one(&self) {
        let thread = ThreadId::new("snapshots");
        let mut journal = self.open(&thread).await;
        let mut latest = None;
        for seq in 1..=9 {
            let kind = if [3, 4, 8].contains(&seq) { EntryKind::Snapshot } else { EntryKind::Record };
            let entry = Entry { seq, kind, bytes: vec![seq as u8; 3] };
            stored(journal.append(entry.clone())).await;
            if kind == EntryKind::Snapshot {
                latest = Some(entry);
            }
            assert_eq!(self.latest(&thread).await, latest, "the latest snapshot after entry {seq}");
        }
    }

    async fn only_the_next_position_is_accepted(&self) {
        let thread = ThreadId::new("positions");
        let mut journal = self.open(&thread).await;
        for wrong in [0, 2, 7] {
            fenced(journal.append(record(wrong)), &thread, wrong).await;
        }
        fill(&mut *journal, 1, 3).await;
        for wrong in [0, 1, 3, 5, 1_000] {
            let before = self.all(&thread).await;
            fenced(journal.append(Entry { bytes: vec![9], ..record(wrong) }), &thread, wrong).await;
            assert_eq!(self.all(&thread).await, before, "a refused entry changes nothing");
        }
        stored(journal.append(record(4))).await;
    }

    async fn an_acknowledgement_covers_everything_before_it(&self) {
        let thread = ThreadId::new("order");
        let mut journal = self.open(&thread).await;
        let mut acks: Vec<Ack> = (1..=300).map(|seq| journal.append(record(seq))).collect();
        if let Some(last) = acks.pop() {
            stored(last).await;
        }
        let found: Vec<Seq> = self.all(&thread).await.iter().map(|entry| entry.seq).collect();
        assert_eq!(
            found,
            (1..=300).collect::<Vec<_>>(),
            "with the last acknowledgement everything before it is stored"
        );
        for ack in acks {
            stored(ack).await;
        }
    }

    async fn a_held_thread_is_busy(&self) {
        let (thread, other) = (ThreadId::new("held"), ThreadId::new("free"));
        let mut first = self.open(&thread).await;
        match self.store.open(&thread, self.durability).await {
            Err(StoreError::Busy { thread: named }) => {
                assert_eq!(named, thread, "the error names the thread");
            }
            Err(error) => panic!("opening a held thread gives `{error}` instead of StoreError::Busy"),
            Ok(_) => panic!("two drivers hold the thread `{thread}` at the same time"),
        }
        drop(self.open(&other).await);
        // The refusal did no harm to the driver that holds the thread.
        fill(&mut *first, 1, 2).await;
        drop(first);
        drop(self.open(&thread).await);
    }

    async fn a_thread_goes_on_where_it_ended(&self) {
        let thread = ThreadId::new("again");
        for round in 0..3 {
            let mut journal = self.open(&thread).await;
            if round > 0 {
                fenced(journal.append(record(1)), &thread, 1).await;
            }
            fill(&mut *journal, round * 4 + 1, round * 4 + 4).await;
        }
        assert_eq!(self.all(&thread).await, (1..=12).map(record).collect::<Vec<_>>());
    }

    async fn what_was_not_awaited_is_a_prefix(&self) {
        let thread = ThreadId::new("hasty");
        let mut journal = self.open(&thread).await;
        stored(journal.append(record(1))).await;
        for seq in 2..=50 {
            drop(journal.append(record(seq)));
        }
        drop(journal);
        let mut journal = self.open(&thread).await;
        let found: Vec<Seq> = self.all(&thread).await.iter().map(|entry| entry.seq).collect();
        let wanted: Vec<Seq> = (1..=found.len() as Seq).collect();
        assert!(
            !found.is_empty() && found == wanted,
            "what is left of a hasty driver is a prefix, not {found:?}"
        );
        stored(journal.append(record(found.len() as Seq + 1))).await;
        let later = self.all(&thread).await.len();
        assert_eq!(
            later,
            found.len() + 1,
            "nothing of an earlier driver arrives once the thread was opened again"
        );
    }

    async fn threads_do_not_see_each_other(&self) {
        let (one, two) = (ThreadId::new("one"), ThreadId::new("one "));
        let (mut first, mut second) = (self.open(&one).await, self.open(&two).await);
        stored(first.append(Entry { seq: 1, kind: EntryKind::Snapshot, bytes: vec![1] })).await;
        assert_eq!(self.latest(&two).await, None, "a snapshot of one thread is none of another");
        stored(second.append(record(1))).await;
        fill(&mut *second, 2, 3).await;
        assert_eq!(self.all(&one).await.len(), 1);
        assert_eq!(self.all(&two).await.len(), 3);
    }

    async fn many_threads_at_once(&self) {
        let threads: Vec<ThreadId> = (0..16).map(|number| ThreadId::new(format!("many-{number}"))).collect();
        let writers = threads.iter().map(|thread| async {
            let mut journal = self.open(thread).await;
            fill(&mut *journal, 1, 40).await;
        });
        futures_util::future::join_all(writers).await;
        for thread in &threads {
            assert_eq!(
                self.all(thread).await,
                (1..=40).map(record).collect::<Vec<_>>(),
                "thread `{thread}` of 16 at once"
            );
        }
    }
}

fn record(seq: Seq) -> Entry {
    Entry { seq, kind: EntryKind::Record, bytes: format!("entry {seq}").into_bytes() }
}

async fn fill(journal: &mut dyn Journal, from: Seq, to: Seq) {
    for seq in from..=to {
        stored(journal.append(record(seq))).await;
    }
}

async fn stored(ack: Ack) {
    if let Err(error) = ack.await {
        panic!("an entry at the next position is refused: {error}");
    }
}

async fn fenced(ack: Ack, thread: &ThreadId, seq: Seq) {
    match ack.await {
        Err(StoreError::Fenced { thread: named }) => assert_eq!(named, *thread, "the error names the thread"),
        Err(error) => {
            panic!("an entry at the wrong position {seq} gives `{error}` instead of StoreError::Fenced")
        }
        Ok(()) => panic!("an entry at the wrong position {seq} is acknowledged"),
    }
}
