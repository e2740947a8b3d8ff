//! Questions of simulated nodes: one or two at once, some with a deadline, answered, answered wrongly, or too late.

use statewright_engine_core::{Event, Interrupt, Task};

use super::process::Process;
use super::world::World;
use crate::script::{Script, Visit};

/// An answer that no node takes.
pub(super) const WRONG: &[u8] = b"wrong";

/// The answer that the execution was given, if it asks; else what it reports about its questions. Counts how often
/// several are asked together.
pub(super) fn questioned(
    script: Script,
    task: &Task,
    visit: &Visit<'_>,
    together: &mut usize,
) -> Result<Option<u64>, Box<Event>> {
    let (activation, attempt) = (task.activation, task.attempt);
    let answers = task.answers.as_deref().unwrap_or_default();
    let (mut open, mut answer) = (Vec::new(), None);
    for name in script.questions(visit) {
        match answers.iter().find(|given| given.name == name).map(|given| given.value.as_slice()) {
            None => open.push(name),
            Some(WRONG) => {
                let reason = "it is wrong".to_owned();
                return Err(Box::new(Event::AnswerRejected { activation, attempt, name, reason }));
            }
            Some(value) => answer = value.try_into().ok().map(u64::from_le_bytes),
        }
    }
    if open.is_empty() {
        return Ok(answer);
    }
    *together += usize::from(open.len() > 1);
    let questions = open.into_iter().map(|name| script.asking(visit, name)).collect();
    Err(Box::new(Event::Asked { activation, attempt, questions }))
}

impl World {
    /// Somebody answers a question, sometimes with nonsense, sometimes after its deadline.
    pub(super) fn answer(&mut self, process: &mut Process, question: Interrupt) -> Result<(), String> {
        let wrong = self.rng.chance(self.habits.wrong);
        let Interrupt { id, question: right, deadline_ms, .. } = question;
        self.note(|| format!("answer {id}{}", if wrong { " wrongly" } else { "" }));
        let value = if wrong { WRONG.to_vec() } else { right };
        let event = Event::Answered { interrupt: id, value };
        if let Err(refused) = process.execution.handle(self.now(), event) {
            self.history.faults.expired += 1;
            return self.may_refuse(&refused, deadline_ms);
        }
        self.history.faults.wrong += usize::from(wrong);
        self.ledger.covered(process.execution.last_seq());
        Ok(())
    }
}
