//! Faults of a history, counted by kind.

/// How often what went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The process died.
    pub crashes: usize,
    /// Entries that were sent and did not survive a crash.
    pub lost: usize,
    /// Executions of nodes that failed.
    pub failures: usize,
    /// Reducers that panicked.
    pub panics: usize,
    /// Reports of executions that had ended or were superseded.
    pub late: usize,
    /// Timers that fired too early or that nobody set.
    pub timers: usize,
    /// Answers that did not fit.
    pub wrong: usize,
    /// Answers after their deadline.
    pub expired: usize,
    /// Items of the outbox that could not be delivered.
    pub undelivered: usize,
    /// Effects that were not seen to end.
    pub unknown: usize,
    /// Requests that are not possible.
    pub impossible: usize,
    /// Drives that were drained.
    pub drains: usize,
    /// Runs that were cancelled.
    pub cancels: usize,
}

impl Faults {
    /// Each kind with its count.
    pub fn by_kind(&self) -> [(&'static str, usize); 13] {
        [
            ("crashes", self.crashes),
            ("lost entries", self.lost),
            ("failures", self.failures),
            ("panics", self.panics),
            ("late reports", self.late),
            ("stray timers", self.timers),
            ("wrong answers", self.wrong),
            ("late answers", self.expired),
            ("failed deliveries", self.undelivered),
            ("unknown effects", self.unknown),
            ("impossible requests", self.impossible),
            ("drains", self.drains),
            ("cancels", self.cancels),
        ]
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.by_kind().iter().map(|(_, count)| count).sum()
    }

    /// Adds those of another history.
    pub fn add(&mut self, other: &Faults) {
        self.crashes += other.crashes;
        self.lost += other.lost;
        self.failures += other.failures;
        self.panics += other.panics;
        self.late += other.late;
        self.timers += other.timers;
        self.wrong += other.wrong;
        self.expired += other.expired;
        self.undelivered += other.undelivered;
        self.unknown += other.unknown;
        self.impossible += other.impossible;
        self.drains += other.drains;
        self.cancels += other.cancels;
    }
}
