//! Questions of nodes to whoever operates the run: typed, answered by id, and impossible to swallow.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use statewright_engine_core::journal::Ladder;
use statewright_engine_core::{ActivationId, Asking, Data, Event, Failure};

use crate::context::{Activation, Ctx, Halt};
use crate::driver::failed;
use crate::misfit::misfit;

/// A question as a type, which ties the answer's type to it.
///
/// ```
/// # use statewright_engine_runtime::Question;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Approval { cents: u64 }
///
/// impl Question for Approval {
///     type Answer = u64;
///     const NAME: &'static str = "approval";
///
///     fn check(&self, granted: &u64) -> Result<(), String> {
///         if *granted <= self.cents { Ok(()) } else { Err(format!("at most {} can be granted", self.cents)) }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a question",
    label = "expected a type that implements `Question`",
    note = "implement `Question` for it, with the type of its answer and a name"
)]
pub trait Question: Data {
    /// What answers it.
    type Answer: Data;

    /// Its name. A node asks one question of a name, unless [`Pose::at`] tells them apart.
    const NAME: &'static str;

    /// Says why an answer of the right type is still none; the question is then open again, with these words.
    ///
    /// # Errors
    /// The words.
    fn check(&self, answer: &Self::Answer) -> Result<(), String> {
        let _ = answer;
        Ok(())
    }
}

impl<S, I> Ctx<S, I> {
    /// Asks a typed question, and gives the answer; see [`Question`] and [`Ctx::ask`].
    pub fn pose<'a, Q: Question>(&'a self, question: &'a Q) -> Pose<'a, S, I, Q> {
        Pose { ctx: self, question, name: Q::NAME.to_owned(), expiry: None, ladder: None }
    }

    /// The answer, or why the node will not go on.
    pub(crate) fn answered<A: Data, Q: Serialize + ?Sized>(
        &self,
        name: String,
        question: &Q,
        (expiry, ladder): Timing,
        check: impl FnOnce(&A) -> Result<(), String>,
    ) -> Result<A, Halt> {
        let answers = self.activation.answers.as_deref().unwrap_or_default();
        match answers.iter().find(|answer| answer.name == name) {
            Some(answer) => rmp_serde::from_slice::<A>(&answer.value)
                .map_err(|_| misfit::<A>(&answer.value))
                .and_then(|answer| check(&answer).map(|()| answer))
                .map_err(|reason| Halt::Rejected { name, reason }),
            None => Err(match rmp_serde::to_vec_named(question) {
                Ok(question) => Halt::Asked(Asking { name, question, expiry, ladder }),
                Err(error) => Halt::Unaskable { name, reason: unwritable(&error) },
            }),
        }
    }
}

/// Until when a question is open, and for whom.
pub(crate) type Timing = (Option<(u64, Vec<u8>)>, Option<Box<Ladder>>);

/// A node that will not go on waits for ever, and its driver drops it.
pub(crate) async fn or_halt<A>(activation: Arc<Activation>, answered: Result<A, Halt>) -> A {
    match answered {
        Ok(answer) => answer,
        Err(halt) => {
            activation.stop(halt);
            std::future::pending().await
        }
    }
}

/// A typed question that is about to be asked; see [`Ctx::pose`].
#[must_use = "a question is asked when it is awaited"]
pub struct Pose<'a, S, I, Q> {
    ctx: &'a Ctx<S, I>,
    question: &'a Q,
    name: String,
    expiry: Option<(Duration, Result<Vec<u8>, String>)>,
    ladder: Option<Box<Ladder>>,
}

impl<S, I, Q> fmt::Debug for Pose<'_, S, I, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pose").field("name", &self.name).field("expiry", &self.expiry).finish_non_exhaustive()
    }
}

impl<S, I, Q: Question> Pose<'_, S, I, Q> {
    /// Tells questions of one type apart, as in a loop.
    pub fn at(mut self, index: usize) -> Self {
        self.name = format!("{}#{index}", Q::NAME);
        self
    }

    /// Says whom it is for. Whoever shows open questions finds it in [`Interrupt::to`](crate::Interrupt::to).
    pub fn to(mut self, addressee: impl Into<String>) -> Self {
        self.ladder.get_or_insert_default().to = Some(addressee.into());
        self
    }

    /// Poses it to somebody else when whoever is asked before gives no answer for so long. Several calls make several
    /// levels. It stays one question with one id, and anybody may answer it.
    pub fn escalates(mut self, after: Duration, to: impl Into<String>) -> Self {
        self.ladder.get_or_insert_default().next.push((millis(after), to.into()));
        self
    }

    /// Lets the node fail with `SW-X271` when the last one who is asked gives no answer for so long.
    pub fn fails(mut self, after: Duration) -> Self {
        let ladder = self.ladder.get_or_insert_default();
        (ladder.last_ms, ladder.fails) = (Some(millis(after)), true);
        self.expiry = None;
        self
    }

    /// Gives the question a deadline, counted from when the last one is asked who is. From then on nothing else than
    /// this answer counts; the run goes on with it at once while other nodes run, and else when it is next taken up.
    pub fn expires(mut self, after: Duration, default: &Q::Answer) -> Self {
        let default = match self.question.check(default) {
            Ok(()) => rmp_serde::to_vec_named(default).map_err(|error| unwritable(&error)),
            Err(reason) => Err(format!("its default answer does not pass its own check: {reason}")),
        };
        self.expiry = Some((after, default));
        if let Some(ladder) = &mut self.ladder {
            ladder.fails = false;
        }
        self
    }

    fn answered(self) -> Result<Q::Answer, Halt> {
        let Self { ctx, question, name, expiry, mut ladder } = self;
        let expiry = match expiry {
            None => None,
            Some((_, Err(reason))) => return Err(Halt::Unaskable { name, reason }),
            Some((after, Ok(default))) => Some((millis(after), default)),
        };
        if let (Some(ladder), Some((after_ms, _))) = (&mut ladder, &expiry) {
            ladder.last_ms = Some(*after_ms);
        }
        ctx.answered(name, question, (expiry, ladder), |answer| question.check(answer))
    }
}

impl<'a, S: 'a, I: 'a, Q: Question> IntoFuture for Pose<'a, S, I, Q> {
    type Output = Q::Answer;
    type IntoFuture = BoxFuture<'static, Q::Answer>;

    fn into_future(self) -> Self::IntoFuture {
        let activation = self.ctx.activation.clone();
        Box::pin(or_halt(activation, self.answered()))
    }
}

/// What the driver reports about a node that will not go on: what is wrong counts more than what is open.
pub(crate) fn halted(activation: ActivationId, attempt: u32, halts: Vec<Halt>) -> Event {
    let mut questions: Vec<Asking> = Vec::new();
    for halt in halts {
        match halt {
            Halt::Asked(asking) if questions.iter().any(|known| known.name == asking.name) => {
                let message = format!(
                    "the node asks two questions of the name `{}` at once; give each a name of its own",
                    asking.name
                );
                return failed(activation, attempt, Failure::permanent("SW-X259", message));
            }
            Halt::Asked(asking) => questions.push(asking),
            Halt::Unaskable { name, reason } => {
                let message = format!("the question `{name}` cannot be stored: {reason}");
                return failed(activation, attempt, Failure::permanent("SW-X234", message));
            }
            Halt::Rejected { name, reason } => {
                return Event::AnswerRejected { activation, attempt, name, reason };
            }
        }
    }
    Event::Asked { activation, attempt, questions }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn unwritable(error: &rmp_serde::encode::Error) -> String {
    format!("{error}; it must serialise to MessagePack")
}
