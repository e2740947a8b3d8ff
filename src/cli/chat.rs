//! `chat`: a conversation on one thread, line by line. Each line is a run that is stored like any other; what a person
//! reads while it lasts is in `chat_view`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use statewright_engine_runtime::{
    Budget, CacheLimits, Durability, Interrupt, Outcome, RunError, RunId, Status, ThreadId, random_id,
};
use statewright_engine_sql::{RunFilter, RunRow, SqlStore};

use super::args::ChatArgs;
use super::args::cassette::TapeArgs;
use super::chat_view::ChatView;
use super::drive::is_busy;
use super::lines::Lines;
use super::output::shortened;
use super::session::{self, Equipment, Meta};
use super::signals::{Signal, Signals};
use super::{Exit, Shell, cassette, home, standing};
use crate::error::CliError;
use crate::pipeline::{Drive, Ended, Intent, Job, OpenGraph};

/// The graph that is talked to when none is named.
const GRAPH: &str = "react";
/// How often the driver looks whether another process asked for the end of the turn.
const CANCEL_POLL: Duration = Duration::from_millis(200);

const HELP: &str = "\
/help         shows this
/thread       shows the thread of this conversation
/thread ID    goes over to another thread, or begins one of this name
/fork         goes on in a copy of this thread; the thread itself stays as it is
/retry        takes up a turn that failed or was stopped
/quit         leaves; so does the end of the input
Everything else is said to the agent. Ctrl-C ends a turn and not the program.";

/// A conversation.
struct Chat<'a> {
    shell: &'a Shell<'a>,
    store: SqlStore,
    graph: Arc<dyn OpenGraph>,
    graph_name: String,
    equipment: Equipment,
    /// The folder of prompts, absolute.
    prompts: Option<PathBuf>,
    durability: Durability,
    thread: ThreadId,
    lines: Lines,
    signals: Signals,
    is_terminal: bool,
    /// Whether a turn failed whose failure nobody could react to.
    has_failed: bool,
    /// Whether the system asked for the end while a turn was at work.
    has_to_end: bool,
}

/// What came from the keyboard.
enum Said {
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupt,
    /// The end of the input, or a request to end.
    End,
}

/// What a turn left behind.
enum Left {
    Nothing,
    /// A question that nobody answered, since there is nobody any more.
    Question,
}

/// `chat`.
pub(crate) async fn chat(shell: &Shell<'_>, args: ChatArgs) -> Result<Exit, CliError> {
    if shell.out.json {
        return Err(CliError::Usage(
            "`chat` has no --json; use `run --thread ID --json` for each turn".to_owned(),
        ));
    }
    let named = args.graph.as_deref().unwrap_or(GRAPH);
    let graph = session::graph_named(shell, Some(named))?;
    let model = cassette::model(shell, args.services.model.as_deref(), &TapeArgs::default())?;
    let equipped = session::equip(model, &args.services);
    let (store, equipment) = tokio::try_join!(home::store(&shell.global), equipped)?;
    if let Some(docs) = equipment.services.docs.clone() {
        tokio::spawn(async move { docs.prepare().await });
    }
    let mut chat = Chat {
        shell,
        store,
        graph: graph.open(&equipment.services)?,
        graph_name: graph.name().to_owned(),
        equipment,
        prompts: cassette::kept(args.services.prompts.as_ref()),
        durability: args.durability.into(),
        thread: args.thread.as_deref().map_or_else(|| ThreadId::new(random_id()), ThreadId::from),
        lines: Lines::stdin(),
        signals: Signals::listen()?,
        is_terminal: std::io::stdin().is_terminal(),
        has_failed: false,
        has_to_end: false,
    };
    chat.note(&format!("thread {}; /help lists the commands", chat.thread));
    let mut left = chat.take_up().await?;
    while matches!(left, Left::Nothing) {
        let line = match chat.read("> ").await? {
            Said::Line(line) => line,
            Said::Interrupt if chat.is_terminal => {
                chat.note("/quit or the end of the input leaves");
                continue;
            }
            Said::Interrupt => return Ok(Exit::Interrupted),
            Said::End => break,
        };
        left = match chat.handle(line.trim()).await {
            Ok(Some(left)) => left,
            Ok(None) => break,
            Err(error) => {
                shell.out.error(&error);
                chat.has_failed = true;
                Left::Nothing
            }
        };
    }
    Ok(match left {
        Left::Question => Exit::Paused,
        Left::Nothing if chat.has_failed && !chat.is_terminal => Exit::Error,
        Left::Nothing => Exit::Finished,
    })
}

impl Chat<'_> {
    /// A line of the conversation; nothing if it ends it.
    async fn handle(&mut self, line: &str) -> Result<Option<Left>, CliError> {
        let Some(command) = line.strip_prefix('/') else {
            return if line.is_empty() { Ok(Some(Left::Nothing)) } else { self.ask(line).await.map(Some) };
        };
        let (command, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (command, argument.trim()) {
            ("quit" | "exit", "") => return Ok(None),
            ("help", "") => self.shell.out.line(HELP),
            ("thread", "") => self.shell.out.line(self.thread.as_str()),
            ("thread", id) => {
                self.thread = ThreadId::from(id);
                return self.take_up().await.map(Some);
            }
            ("fork", "") => self.fork().await?,
            ("retry", "") => return self.take_up().await.map(Some),
            _ => return Err(CliError::UnknownChatCommand { given: shortened(line, 40) }),
        }
        Ok(Some(Left::Nothing))
    }

    /// What this thread was about: a turn that is open or waits for an answer goes on first.
    async fn take_up(&mut self) -> Result<Left, CliError> {
        let found = self.graph.load(self.shared(), self.thread.clone()).await?;
        let row = match &found.run {
            Some(run) => self.row_of(run).await?,
            None => None,
        };
        let intent = match found.status {
            Status::Stopped(Outcome::Paused(_)) => None,
            Status::Empty
            | Status::Stopped(Outcome::Finished | Outcome::Cancelled | Outcome::Compensated { .. }) => {
                return Ok(Left::Nothing);
            }
            Status::Open | Status::Stopped(_) => Some(Intent::Resume),
        };
        let Some(row) = row else { return Ok(Left::Nothing) };
        self.note(&format!("taking up: {}", shortened(&row.label, 80)));
        let intent = match intent {
            Some(intent) => intent,
            None => match self.answer(&found.interrupts).await? {
                Some(intent) => intent,
                None => return Ok(Left::Question),
            },
        };
        self.turn(&row, intent).await
    }

    /// A new turn.
    async fn ask(&mut self, question: &str) -> Result<Left, CliError> {
        self.give_up_what_failed().await?;
        let run = RunId::new(random_id());
        let row = self.row(run.clone(), question, standing::RUNNING, None);
        self.store.record_run(row.clone()).await?;
        self.turn(&row, Intent::Start { run, question: question.to_owned() }).await
    }

    /// A thread takes a new turn only when the last one is over.
    async fn give_up_what_failed(&self) -> Result<(), CliError> {
        let found = self.graph.load(self.shared(), self.thread.clone()).await?;
        let is_over = matches!(
            found.status,
            Status::Empty
                | Status::Stopped(Outcome::Finished | Outcome::Cancelled | Outcome::Compensated { .. })
        );
        if is_over {
            return Ok(());
        }
        self.note("the turn before is given up");
        self.graph.drive(self.shared(), self.job(Intent::Cancel)).end.await?;
        if let Some(run) = found.run {
            self.store.update_run(&run, standing::CANCELLED, None, session::now_ms()).await?;
        }
        Ok(())
    }

    /// Drives a turn to its end, over all its questions.
    async fn turn(&mut self, row: &RunRow, mut intent: Intent) -> Result<Left, CliError> {
        loop {
            let mut view = ChatView::new(&self.shell.out);
            let begins = matches!(intent, Intent::Start { .. });
            let drive = self.graph.drive(self.shared(), self.job(intent));
            let ended = self.drive(row, drive, &mut view).await;
            view.end();
            let ended = match ended {
                Ok(ended) => ended,
                Err(error) => {
                    if begins && (is_busy(&error) || matches!(error, CliError::Run(RunError::Refused(_)))) {
                        drop(
                            self.store.update_run(&row.run, standing::REFUSED, None, session::now_ms()).await,
                        );
                    }
                    return Err(error);
                }
            };
            let is_finished = ended.outcome == Outcome::Finished;
            let detail = (!is_finished).then_some(ended.words.as_str());
            let word = standing::word(&ended.outcome);
            self.store.update_run(&row.run, word, detail, session::now_ms()).await?;
            let Outcome::Paused(questions) = &ended.outcome else {
                self.tell(&ended, &view);
                return Ok(Left::Nothing);
            };
            match self.answer(questions).await? {
                Some(next) => intent = next,
                None => return Ok(Left::Question),
            }
        }
    }

    /// Until it stops. Ctrl-C ends the turn for good.
    async fn drive(
        &mut self,
        row: &RunRow,
        drive: Drive,
        view: &mut ChatView<'_>,
    ) -> Result<Ended, CliError> {
        let Drive { mut events, control, end } = drive;
        let mut task = tokio::spawn(end);
        let mut poll = tokio::time::interval(CANCEL_POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut is_open = true;
        let joined = loop {
            tokio::select! {
                biased;
                signal = self.signals.next_of() => match signal {
                    Signal::Interrupt => control.cancel(),
                    Signal::Terminate => {
                        self.has_to_end = true;
                        control.drain();
                    }
                },
                _ = poll.tick() => {
                    if self.store.cancel_requested(&row.run).await.unwrap_or(false) {
                        control.cancel();
                    }
                }
                event = events.next(), if is_open => match event {
                    Some(event) => view.event(&event),
                    None => is_open = false,
                },
                joined = &mut task => break joined,
            }
        };
        while let Some(Some(event)) = futures_util::FutureExt::now_or_never(events.next()) {
            view.event(&event);
        }
        match joined {
            Ok(ended) => Ok(ended?),
            Err(error) => Err(CliError::System { what: "the driver", reason: error.to_string() }),
        }
    }

    /// What came out of a turn.
    fn tell(&mut self, ended: &Ended, view: &ChatView<'_>) {
        match &ended.outcome {
            Outcome::Finished => view.answer(self.shell, &ended.report),
            Outcome::Cancelled => self.note("the turn is cancelled; nothing of it is in the conversation"),
            Outcome::Failed(failures) => {
                self.has_failed = true;
                for (_, failure) in failures {
                    let help = Some("/retry takes the turn up where it failed".to_owned());
                    let failed =
                        super::output::Failed { code: &failure.code, message: failure.to_string(), help };
                    self.shell.out.failure(&failed, Value::Null);
                }
            }
            _ => {
                self.has_failed = true;
                self.shell.out.line(&format!("{}; /retry takes the turn up", ended.words));
            }
        }
    }

    /// Poses the first open question until it has an answer; nothing if nobody is there to give one.
    async fn answer(&mut self, questions: &[Interrupt]) -> Result<Option<Intent>, CliError> {
        let Some(interrupt) = questions.first() else { return Ok(Some(Intent::Resume)) };
        let question = standing::question(interrupt);
        let approves = question.get("approve").and_then(Value::as_str);
        self.shell.out.line(&super::chat_view::words(&question, &interrupt.name));
        if let Some(reason) = &interrupt.rejected {
            self.shell.out.line(&format!("the last answer did not fit: {reason}"));
        }
        loop {
            let prompt = if approves.is_some() { "[y]es, [n]o REASON or [e]dit JSON? " } else { "answer? " };
            let line = match self.read(prompt).await? {
                Said::Line(line) => line,
                Said::Interrupt => return Ok(Some(Intent::Cancel)),
                Said::End => return Ok(None),
            };
            if line.trim() == "/quit" {
                return Ok(None);
            }
            let value = if approves.is_some() { approval(line.trim()) } else { any(line.trim()) };
            match value {
                Some(value) => return Ok(Some(Intent::Answer { id: interrupt.id.clone(), value })),
                None => self.note("that is no answer"),
            }
        }
    }

    /// Goes on in a copy of the thread as it stands.
    async fn fork(&mut self) -> Result<(), CliError> {
        let look = self.graph.look(self.shared(), self.thread.clone(), None).await?;
        let into = ThreadId::new(random_id());
        let from = (self.thread.clone(), look.seq);
        let forked = self.graph.fork(self.shared(), from, into.clone(), Map::new()).await?;
        let origin = format!("forked from {} at entry {}", self.thread, look.seq);
        let label = match &look.run {
            Some(run) => self.row_of(run).await?.map_or_else(String::new, |row| row.label),
            None => String::new(),
        };
        self.thread = into;
        if let Some(run) = forked.run.clone() {
            let word = standing::idle_word(&forked.status);
            self.store.record_run(self.row(run, &label, word, Some(origin.clone()))).await?;
        }
        self.shell.out.line(&format!("thread {}, {origin}", self.thread));
        Ok(())
    }

    async fn read(&mut self, prompt: &str) -> Result<Said, CliError> {
        while !self.has_to_end {
            if self.is_terminal {
                self.shell.out.text(&self.shell.out.bold(prompt));
            }
            tokio::select! {
                signal = self.signals.next_of() => {
                    if self.is_terminal {
                        self.shell.out.text("\n");
                    }
                    return Ok(if signal == Signal::Interrupt { Said::Interrupt } else { Said::End });
                }
                line = self.lines.next() => match line {
                    Some(Ok(line)) => return Ok(Said::Line(line)),
                    Some(Err(reason)) => {
                        let path = "-".into();
                        self.shell.out.error(&CliError::Input { path, reason });
                        self.has_failed = true;
                    }
                    None => return Ok(Said::End),
                },
            }
        }
        Ok(Said::End)
    }

    /// For a person at a terminal.
    fn note(&self, words: &str) {
        self.shell.out.note(&self.shell.out.dim(words));
    }

    fn shared(&self) -> Arc<SqlStore> {
        Arc::new(self.store.clone())
    }

    fn job(&self, intent: Intent) -> Job {
        let (thread, durability, handlers) =
            (self.thread.clone(), self.durability, self.shell.app.handlers());
        let (pauses, budget) = ([Vec::new(), Vec::new()], Budget::new());
        let results = Some(self.store.results(CacheLimits::default()));
        Job { thread, durability, intent, handlers, pauses, budget, results }
    }

    fn row(&self, run: RunId, label: &str, status: &str, detail: Option<String>) -> RunRow {
        let meta = Meta {
            model: Some(self.equipment.model.name.clone()),
            docs: self.equipment.docs.clone(),
            durability: Some(self.durability.name().to_owned()),
            prompts: self.prompts.clone(),
            ..Meta::default()
        };
        let now = session::now_ms();
        RunRow {
            run,
            thread: self.thread.clone(),
            graph: self.graph_name.clone(),
            label: label.to_owned(),
            meta: json!(meta),
            status: status.to_owned(),
            created_ms: now,
            updated_ms: now,
            detail,
        }
    }

    async fn row_of(&self, run: &RunId) -> Result<Option<RunRow>, CliError> {
        let filter = RunFilter { thread: Some(self.thread.clone()), ..RunFilter::default() };
        Ok(self.store.runs(&filter, u32::MAX).await?.into_iter().find(|row| row.run == *run))
    }
}

/// What a person says to a call that wants an approval.
fn approval(line: &str) -> Option<Value> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    match word.to_lowercase().as_str() {
        "y" | "yes" | "approve" if rest.is_empty() => Some(json!("approve")),
        "n" | "no" | "deny" => Some(json!({ "deny": rest })),
        "e" | "edit" => {
            serde_json::from_str::<Map<String, Value>>(rest).ok().map(|edited| json!({ "edit": edited }))
        }
        _ => None,
    }
}

/// JSON, or else a text.
fn any(line: &str) -> Option<Value> {
    (!line.is_empty()).then(|| serde_json::from_str(line).unwrap_or_else(|_| json!(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approvals_are_read_as_people_write_them() {
        for (line, expected) in [
            ("y", Some(json!("approve"))),
            ("Yes", Some(json!("approve"))),
            ("n", Some(json!({"deny": ""}))),
            ("no too much", Some(json!({"deny": "too much"}))),
            ("e {\"n\": 5}", Some(json!({"edit": {"n": 5}}))),
            ("e 5", None),
            ("yes but", None),
            ("perhaps", None),
            ("", None),
        ] {
            assert_eq!(approval(line), expected, "{line}");
        }
    }
}
