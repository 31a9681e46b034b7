//! `engraft produce`: commands from a file or standard input into the log.
//!
//! Over HTTP to a running server; or, with `--data`, straight into the log of one that is stopped.
//! A line that cannot be a command is reported with its number and skipped; every other line is
//! acknowledged by the log before the run ends well. An append whose answer was lost is repeated
//! under the same id, so it has one effect.

mod direct;
mod lines;
mod remote;

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::config::Config;

use super::{Exit, Failure, Format, output, server::Server};
use lines::{Batch, Lines};

/// Reports of bad lines that are printed; the rest is counted.
const REPORTS_MAX: u64 = 100;

/// What `produce` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engraft produce commands.jsonl --wait
  engraft produce - --wait -o jsonl
  engraft produce commands.jsonl --data engraft-data")]
pub(super) struct Arguments {
    /// Commands, one JSON object a line; `-`: standard input
    file: PathBuf,
    /// Wait for every outcome
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    show: output::Show,
    #[command(flatten)]
    server: Server,
}

/// What became of the lines so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    accepted: u64,
    bad: u64,
    committed: u64,
    not_committed: u64,
    duplicates: u64,
    unfinished: u64,
}

/// Where lines go.
trait Sink {
    /// Sends a batch; one answer a line, in order. Returns once each is answered for good.
    fn send(&mut self, batch: &Batch) -> Result<Vec<Sent>, Failure>;
}

/// What became of one line.
enum Sent {
    /// It is in the log.
    Accepted,
    /// It ended.
    Ended(Value),
    /// It can never be a command.
    Refused(String),
}

pub(super) fn run(
    arguments: &Arguments,
    data: Option<&Path>,
    settings: impl FnOnce() -> Result<Config, Failure>,
) -> Result<(), Failure> {
    let (input, bytes) = open(&arguments.file)?;
    let bar = progress(bytes);
    let input = bar.wrap_read(input);
    let mut sink: Box<dyn Sink> = match data {
        Some(_) if arguments.wait => {
            return Err(Failure::usage("`--wait` needs a server; with `--data` nobody works on the log"));
        }
        Some(_) => Box::new(direct::Direct::open(&settings()?)?),
        None => Box::new(remote::Remote::new(arguments.server.client(), arguments.wait)),
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut tally = Tally::default();
    let mut out = output::Out::new();
    for batch in Lines::new(BufReader::new(input)) {
        let batch = batch.map_err(|error| unread(&error, &tally))?;
        for (number, reason) in &batch.bad {
            tally.report(*number, reason, &bar);
        }
        let sent = sink.send(&batch).map_err(|failure| at_line(&batch, failure, &tally))?;
        for (line, sent) in batch.lines.iter().zip(sent) {
            tally.count(line.number, sent, arguments.show.output, &mut out, &bar)?;
        }
        bar.set_message(format!("{} commands", tally.accepted));
    }
    bar.finish_and_clear();
    out.finish()?;
    output::say(&tally.summary(arguments.wait));
    tally.verdict()
}

fn open(file: &Path) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let opened = File::open(file).and_then(|open| Ok((open.metadata()?.len(), open)));
    match opened {
        Ok((bytes, open)) => Ok((Box::new(open), Some(bytes))),
        Err(error) => {
            let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
            Err(Failure::new(exit, format!("cannot read `{}`: {error}", file.display())))
        }
    }
}

fn progress(bytes: Option<u64>) -> ProgressBar {
    let template = match bytes {
        Some(_) => "{bar:40} {msg}, {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
        None => "{spinner} {msg}, {bytes}, {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("a constant template");
    ProgressBar::new(bytes.unwrap_or_default()).with_style(style)
}

fn unread(error: &io::Error, tally: &Tally) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("the input cannot be read on: {error}; {} lines are in the log", tally.accepted),
    )
}

/// Which line to go on from. Lines that brought no id got one for this run alone.
fn at_line(batch: &Batch, failure: Failure, tally: &Tally) -> Failure {
    let first = batch.lines.first().map_or(0, |line| line.number);
    let fix = "sending them again is safe for commands that carry an `id`";
    let message = format!(
        "{failure}\n{} commands are in the log; those from line {first} on may not be: {fix}",
        tally.accepted
    );
    Failure::new(failure.exit, message.trim_start_matches("engraft: "))
}

impl Tally {
    fn report(&mut self, number: u64, reason: &str, bar: &ProgressBar) {
        self.bad += 1;
        if self.bad <= REPORTS_MAX {
            bar.suspend(|| output::say(&format!("line {number}: {reason}")));
        }
    }

    fn count(
        &mut self,
        number: u64,
        sent: Sent,
        format: Format,
        out: &mut output::Out,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        match sent {
            Sent::Accepted => {
                self.accepted += 1;
                self.unfinished += 1;
            }
            Sent::Refused(reason) => self.report(number, &reason, bar),
            Sent::Ended(outcome) => {
                self.accepted += 1;
                let text = |name: &str| outcome.get(name).and_then(Value::as_str);
                let committed = text("outcome") == Some("committed");
                self.duplicates += u64::from(text("duplicate_of").is_some());
                if committed {
                    self.committed += 1;
                } else {
                    self.not_committed += 1;
                }
                match format {
                    Format::Table if committed => {}
                    Format::Table => {
                        let (verdict, code) =
                            (text("outcome").unwrap_or_default(), text("code").unwrap_or_default());
                        bar.suspend(|| output::say(&format!("line {number}: {verdict}, {code}")));
                    }
                    Format::Json | Format::Jsonl => out.line(&outcome.to_string())?,
                }
            }
        }
        Ok(())
    }

    fn summary(&self, waited: bool) -> String {
        let Self { accepted, bad, committed, not_committed, duplicates, unfinished } = self;
        let left_off = bad.saturating_sub(REPORTS_MAX);
        let more = if left_off > 0 { format!(" ({left_off} not shown)") } else { String::new() };
        let mut text = format!("{accepted} commands in the log, {bad} bad lines{more}");
        if waited {
            text.push_str(&format!(
                "; {committed} committed ({duplicates} sent before), {not_committed} not, {unfinished} under way"
            ));
        }
        text
    }

    fn verdict(&self) -> Result<(), Failure> {
        if self.bad > 0 || self.not_committed > 0 {
            let message =
                format!("{} lines were not done; each is named above", self.bad + self.not_committed);
            return Err(Failure::new(Exit::Failed, message));
        }
        Ok(())
    }
}
