//! The oracle on retries: counts failures outside the journal, with numbers of its own, and says when an activation is
//! tried too often or too early.

use statewright_engine_core::{ActivationId, Failure, FailureKind, RETRY_AFTERS_MAX, Seq};

use crate::scenario::SimPolicy;

/// Something that bears on the attempts of activations, with the entry that says so.
#[derive(Clone, Copy, Debug)]
enum Mark {
    Failed {
        activation: ActivationId,
        seq: Seq,
        kind: FailureKind,
        asked_ms: Option<u64>,
        at_ms: u64,
    },
    /// Somebody resumed the run after it had failed.
    Granted {
        seq: Seq,
    },
}

/// Every failure that was reported and not lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    marks: Vec<Mark>,
    /// How many of them the last stored end of a drive covers.
    stored: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    attempts: u32,
    honoured: u32,
    not_before_ms: u64,
    over: bool,
}

impl Ledger {
    pub(super) fn failed(&mut self, activation: ActivationId, seq: Seq, failure: &Failure, at_ms: u64) {
        let (kind, asked_ms) = (failure.kind, failure.retry_after_ms);
        self.marks.push(Mark::Failed { activation, seq, kind, asked_ms, at_ms });
    }

    pub(super) fn granted(&mut self, seq: Seq) {
        self.marks.push(Mark::Granted { seq });
    }

    /// The end of a drive is stored.
    pub(super) fn stopped(&mut self) {
        self.stored = self.marks.len();
    }

    /// A crash left the journal with entries up to this one.
    pub(super) fn lost_after(&mut self, kept: Seq) {
        self.marks.retain(|mark| match mark {
            Mark::Failed { seq, .. } | Mark::Granted { seq } => *seq <= kept,
        });
    }

    /// A crash left nothing but the last stored end of a drive.
    pub(super) fn lost_since_stop(&mut self) {
        self.marks.truncate(self.stored);
    }

    /// Whether the policy allows another attempt now.
    pub(super) fn may_run(
        &self,
        policy: &SimPolicy,
        activation: ActivationId,
        now_ms: u64,
    ) -> Result<(), String> {
        let account = self.account(policy, activation);
        if account.over {
            return Err(format!(
                "activation {activation} runs although its attempts are used up: {account:?}"
            ));
        }
        if now_ms < account.not_before_ms {
            return Err(format!(
                "activation {activation} runs at {now_ms}, before its wait is over: {account:?}"
            ));
        }
        Ok(())
    }

    /// How often an activation failed since it last began anew.
    pub(super) fn failures(&self, policy: &SimPolicy, activation: ActivationId) -> u32 {
        let account = self.account(policy, activation);
        account.attempts + account.honoured
    }

    fn account(&self, policy: &SimPolicy, of: ActivationId) -> Account {
        let mut account = Account::default();
        for mark in &self.marks {
            match mark {
                Mark::Failed { activation, kind, asked_ms, at_ms, .. } if *activation == of => {
                    account.fail(policy, *kind, *asked_ms, *at_ms);
                }
                Mark::Granted { .. } if account.over => account = Account::default(),
                _ => {}
            }
        }
        account
    }
}

impl Account {
    fn fail(&mut self, policy: &SimPolicy, kind: FailureKind, asked_ms: Option<u64>, at_ms: u64) {
        let helps =
            kind == FailureKind::Transient || kind == FailureKind::Unclassified && policy.unclassified;
        if !helps || policy.attempts == 1 {
            self.over = true;
        } else if let Some(asked_ms) = asked_ms.filter(|_| self.honoured < RETRY_AFTERS_MAX) {
            self.honoured += 1;
            self.not_before_ms = at_ms + asked_ms;
        } else {
            self.attempts += 1;
            self.over = self.attempts >= policy.attempts;
            let mut wait = policy.initial_ms as f64;
            for _ in 1..self.attempts {
                wait *= policy.factor;
            }
            let least = wait.min(policy.cap_ms as f64) * (1.0 - policy.jitter);
            self.not_before_ms = at_ms + least.floor() as u64;
        }
    }
}
