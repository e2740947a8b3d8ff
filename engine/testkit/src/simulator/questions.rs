//! Questions of simulated nodes: one or two at once, some with a deadline, answered, answered wrongly, or too late.

use statewright_engine_core::{Event, Interrupt, Task};

use super::process::Process;
use super::world::World;
use crate::script::Visit;

const WRONG: &[u8] = b"wrong";

impl World {
    /// The answer that the execution was given, if it asks; else what it reports about its questions.
    pub(super) fn questioned(&mut self, task: &Task, visit: &Visit<'_>) -> Result<Option<u64>, Box<Event>> {
        let script = self.scenario.script;
        let (activation, attempt) = (task.activation, task.attempt);
        let names = script.questions(visit);
        let answers = task.answers.as_deref().unwrap_or_default();
        let (mut open, mut answer) = (Vec::new(), None);
        for name in names {
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
        self.history.together += usize::from(open.len() > 1);
        let questions = open.into_iter().map(|name| script.asking(visit, name)).collect();
        Err(Box::new(Event::Asked { activation, attempt, questions }))
    }

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
