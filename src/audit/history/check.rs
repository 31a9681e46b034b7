//! A history against the outcomes and the final state: nothing lost, nothing doubled, nothing half done.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Command, Event, Kind,
    fold::{Edge, State},
};
use crate::model::{Code, Outcome, Position, outcome::Verdict};

/// By how much a weight may differ from the model's: a doubled strengthening moves it by far more.
const WEIGHT_TOLERANCE: f64 = 1e-12;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Commands that were acknowledged at least once, by id and body.
    pub acknowledged: usize,
    /// Acknowledgements of a command that had been acknowledged, or taken, before.
    pub repeated: usize,
    /// Acknowledged, and there is no outcome; or committed, and the effect is not there.
    pub lost: Vec<String>,
    /// One command, and more than one effect; or an effect that nobody asked for.
    pub doubled: Vec<String>,
    /// An outcome, or a record, that is not what the commands add up to.
    pub wrong: Vec<String>,
    /// Commands that were set aside because their workers kept dying: answered, undone, not lost.
    pub set_aside: Vec<String>,
    /// Sent, and never acknowledged: the client gave up, and nothing can be said.
    pub unresolved: Vec<String>,
}

impl Findings {
    /// Whether everything is as promised.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        [&self.lost, &self.doubled, &self.wrong, &self.unresolved].iter().all(|list| list.is_empty())
    }
}

/// One command as the client knows it: however often it was sent.
#[derive(Debug)]
struct Asked<'a> {
    command: &'a Command,
    positions: BTreeSet<Position>,
}

/// Checks a history.
///
/// `outcomes`: what the server answers for each acknowledged position. `finals`: what it shows of each
/// space, after everything has ended.
#[must_use]
pub fn check(
    events: &[Event],
    outcomes: &BTreeMap<Position, Outcome>,
    finals: &BTreeMap<String, State>,
) -> Findings {
    let mut findings = Findings::default();
    let mut effects = BTreeMap::new();
    for asked in asked(events) {
        if asked.positions.is_empty() {
            findings.unresolved.push(asked.command.id.clone());
            continue;
        }
        findings.acknowledged += 1;
        findings.repeated += asked.positions.len() - 1;
        if let Some((first, ended)) = first_of(&asked, outcomes, &mut findings) {
            effects.insert(first, (asked.command, ended));
        }
    }
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    // A space lies in one partition, so positions are its order.
    for (position, (command, ended)) in effects {
        let id = &command.id;
        if ended == (Verdict::Failed, Code::IdReused) {
            continue;
        }
        if ended.1 == Code::Poison {
            // Its workers died three times while running it. Set aside it has no effect, and says so.
            findings.set_aside.push(format!("{id} at {position}"));
            continue;
        }
        let predicted = states.entry(command.space.clone()).or_default().apply(command);
        if predicted != Some(ended) {
            findings.wrong.push(format!("{id} at {position} ended as {ended:?}, not as {predicted:?}"));
        }
    }
    let nothing = State::default();
    let spaces: BTreeSet<&String> = states.keys().chain(finals.keys()).collect();
    for space in spaces {
        let expected = states.get(space).unwrap_or(&nothing);
        compare(space, expected, finals.get(space).unwrap_or(&nothing), &mut findings);
    }
    findings
}

/// Commands by id and body: a second body under one id is another command.
fn asked(events: &[Event]) -> Vec<Asked<'_>> {
    let mut by_body: BTreeMap<(&str, String), Asked<'_>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind != Kind::Fail) {
        let command = &event.command;
        let key = (command.id.as_str(), command.to_json().to_string());
        let asked = by_body.entry(key).or_insert_with(|| Asked { command, positions: BTreeSet::new() });
        asked.positions.extend(event.position.filter(|_| event.kind == Kind::Ok));
    }
    by_body.into_values().collect()
}

/// The one position that had the command's effect, and how it ended there. It may be one whose
/// acknowledgement was lost: then the duplicates name it.
fn first_of(
    asked: &Asked<'_>,
    outcomes: &BTreeMap<Position, Outcome>,
    findings: &mut Findings,
) -> Option<(Position, (Verdict, Code))> {
    let id = &asked.command.id;
    let mut firsts = BTreeMap::new();
    for position in &asked.positions {
        let Some(outcome) = outcomes.get(position) else {
            findings.lost.push(format!("{id} was acknowledged at {position} and has no outcome"));
            continue;
        };
        if outcome.command.id != *id || outcome.position != *position {
            findings.wrong.push(format!("the outcome at {position} is not that of {id}"));
        }
        firsts.insert(outcome.duplicate_of.unwrap_or(*position), (outcome.verdict, outcome.code));
    }
    if firsts.len() > 1 && !firsts.values().all(|ended| *ended == (Verdict::Failed, Code::IdReused)) {
        let positions: Vec<String> = firsts.keys().map(Position::to_string).collect();
        findings.doubled.push(format!("{id} took effect at each of {}", positions.join(", ")));
    }
    firsts.into_iter().next()
}

fn compare(space: &str, expected: &State, found: &State, findings: &mut Findings) {
    for (id, content) in &expected.memories {
        match found.memories.get(id) {
            None => findings.lost.push(format!("memory {space}/{id} is not there")),
            Some(other) if other != content => {
                findings.wrong.push(format!("memory {space}/{id} has the content of another command"));
            }
            Some(_) => {}
        }
    }
    for id in found.memories.keys().filter(|id| !expected.memories.contains_key(*id)) {
        findings.doubled.push(format!("memory {space}/{id} is there, and should not be"));
    }
    for (edge, weight) in &expected.relations {
        match found.relations.get(edge) {
            None => findings.lost.push(format!("relation {} is not there", name(space, edge))),
            Some(other) if (other - weight).abs() <= WEIGHT_TOLERANCE => {}
            Some(other) => {
                let words = format!("relation {} weighs {other}, not {weight}", name(space, edge));
                // Strengthening only raises: more than expected was done twice, less was lost.
                if other > weight { findings.doubled.push(words) } else { findings.lost.push(words) }
            }
        }
    }
    for edge in found.relations.keys().filter(|edge| !expected.relations.contains_key(*edge)) {
        findings.doubled.push(format!("relation {} is there, and should not be", name(space, edge)));
    }
}

fn name(space: &str, (source, kind, target): &Edge) -> String {
    format!("{space}/{source} -{kind}-> {target}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{Space, Timestamp, outcome::CommandName};

    /// A history in the making, with the outcomes and the final state of an honest server.
    #[derive(Default)]
    struct Told {
        events: Vec<Event>,
        outcomes: BTreeMap<Position, Outcome>,
        finals: BTreeMap<String, State>,
        taken: BTreeMap<String, Position>,
    }

    fn position(offset: u64) -> Position {
        Position { epoch: 1, partition: 0, offset }
    }

    fn command(id: &str, kind: &str, data: Value) -> Command {
        let data = data.as_object().cloned().unwrap_or_default();
        Command { id: id.to_owned(), space: "s".to_owned(), kind: kind.to_owned(), data }
    }

    impl Told {
        fn event(&mut self, kind: Kind, command: &Command, position: Option<Position>) {
            let index = self.events.len() as u64;
            self.events.push(Event {
                index,
                process: 0,
                kind,
                command: command.clone(),
                position,
                error: None,
            });
        }

        /// Sends, and is answered; `false`: the answer is lost.
        fn send(&mut self, command: &Command, acknowledged: bool) {
            let position = position(self.events.len() as u64);
            self.event(Kind::Invoke, command, None);
            let first = self.taken.get(&command.id).copied();
            let state = self.finals.entry(command.space.clone()).or_default();
            let (verdict, code) = match first {
                None => state.apply(command).expect("known"),
                Some(first) => self.outcomes.get(&first).map(|o| (o.verdict, o.code)).expect("ended"),
            };
            self.taken.entry(command.id.clone()).or_insert(position);
            let outcome = Outcome {
                command: CommandName {
                    id: command.id.clone(),
                    source: String::new(),
                    kind: command.kind.clone(),
                },
                space: Space::new("s").expect("a space"),
                position,
                verdict,
                code,
                duplicate_of: first,
                errors: Vec::new(),
                records: Vec::new(),
                counts: BTreeMap::new(),
                token: String::new(),
                accepted_at: Timestamp::default(),
                finished_at: Timestamp::default(),
            };
            self.outcomes.insert(position, outcome);
            let kind = if acknowledged { Kind::Ok } else { Kind::Info };
            self.event(kind, command, acknowledged.then_some(position));
        }

        fn state(&mut self) -> &mut State {
            self.finals.entry("s".to_owned()).or_default()
        }

        fn check(&self) -> Findings {
            check(&self.events, &self.outcomes, &self.finals)
        }
    }

    fn told() -> Told {
        let mut told = Told::default();
        for id in ["a", "b", "c"] {
            let put = command(&format!("put-{id}"), "memory.put", json!({"id": id, "content": id}));
            told.send(&put, true);
        }
        let relation = json!({"source": "a", "type": "CAUSES", "target": "b"});
        told.send(&command("w-1", "relation.strengthen", relation.clone()), true);
        told.send(&command("w-2", "relation.strengthen", relation.clone()), false);
        told.send(&command("w-2", "relation.strengthen", relation), true);
        told.send(
            &command("again", "memory.put", json!({"id": "a", "content": "x", "if_absent": true})),
            true,
        );
        told.send(&command("gone", "memory.delete", json!({"id": "c"})), true);
        told
    }

    #[test]
    fn an_honest_history_is_clean_and_a_lost_answer_is_no_loss() {
        let findings = told().check();
        assert!(findings.is_clean(), "{findings:?}");
        assert_eq!((findings.acknowledged, findings.repeated), (7, 0));
    }

    #[test]
    fn an_acknowledged_command_without_an_outcome_is_lost() {
        let mut told = told();
        told.outcomes.remove(&position(0));
        assert!(!told.check().lost.is_empty());
    }

    #[test]
    fn a_strengthening_that_was_done_twice_is_doubled() {
        let mut told = told();
        let edge = ("a".to_owned(), "CAUSES".to_owned(), "b".to_owned());
        let weight = told.state().relations.get_mut(&edge).expect("there");
        *weight += 0.1 * (1.0 - *weight);
        assert_eq!(told.check().doubled.len(), 1);
    }

    #[test]
    fn a_command_that_took_effect_at_two_positions_is_doubled() {
        let mut told = told();
        let repeat = told.outcomes.values_mut().find(|o| o.duplicate_of.is_some()).expect("a repeat");
        let position = repeat.position;
        repeat.duplicate_of = None;
        let again = told.events.iter().find(|e| e.position == Some(position)).expect("its event").clone();
        let other = Position { offset: 900, ..position };
        let mut outcome = told.outcomes[&position].clone();
        outcome.position = other;
        told.outcomes.insert(other, outcome);
        told.events.push(Event { position: Some(other), ..again });
        assert_eq!(told.check().doubled.len(), 1, "{:?}", told.check());
    }

    #[test]
    fn a_deleted_memory_that_is_there_and_a_memory_that_is_not_are_found() {
        let mut told = told();
        told.state().memories.insert("c".to_owned(), "c".to_owned());
        told.state().memories.remove("b");
        let findings = told.check();
        assert_eq!((findings.doubled.len(), findings.lost.len()), (1, 1), "{findings:?}");
    }

    #[test]
    fn an_if_absent_that_overwrote_is_wrong() {
        let mut told = told();
        told.state().memories.insert("a".to_owned(), "x".to_owned());
        assert_eq!(told.check().wrong.len(), 1);
    }

    #[test]
    fn a_command_that_was_never_acknowledged_is_unresolved() {
        let mut told = told();
        let put = command("open", "memory.put", json!({"id": "z", "content": "z"}));
        told.event(Kind::Invoke, &put, None);
        told.event(Kind::Info, &put, None);
        assert_eq!(told.check().unresolved, ["open"]);
    }

    #[test]
    fn a_history_survives_its_file() {
        let told = told();
        let mut file = Vec::new();
        told.events.iter().for_each(|event| super::super::write_event(&mut file, event).expect("written"));
        assert_eq!(super::super::read_events(file.as_slice()).expect("read"), told.events);
    }
}
