//! What a table holds, and what it says of a request. Facts that are absent make a test "unknown" (None); the answer is then the least
//! that any value of the fact could bring, so nothing is ever allowed because something is not known.

use crate::bindings::*;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    Allow,
    Deny,
    Abstain,
}

#[derive(Debug)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Test(Test),
}

#[derive(Debug)]
pub enum Test {
    Endpoint(Vec<Endpoint>),
    Method(Vec<Method>),
    Path(Compare, Vec<Vec<String>>),
    QueryExists(String),
    QueryIs(String, Vec<String>),
    HeaderIs(String, Vec<String>),
    User(Vec<String>),
    Group(Vec<String>),
    Executable(Compare, Vec<Vec<String>>),
    Process(Vec<String>),
    Sha256(Vec<String>),
    Cgroup(Compare, Vec<Vec<String>>),
    Elevated,
    UptimeBelow(u64),
    UptimeAbove(u64),
    SoFar(Vec<OutcomeKind>),
}

/// Of paths, by whole segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compare {
    Is,
    Under,
}

pub struct Rule {
    pub decision: Decision,
    pub name: String,
    pub condition: Condition,
}

pub struct Table {
    pub rules: Vec<Rule>,
    pub default: Decision,
}

/// The answer and the rule that gave it; `doubt` when an absent fact had a part in it.
pub struct Decided<'a> {
    pub decision: Decision,
    pub rule: Option<&'a str>,
    pub doubt: bool,
}

pub struct Question<'a> {
    pub request: &'a Request,
    pub caller: &'a Caller,
    pub so_far: Option<&'a Outcome>,
}

impl Table {
    /// The first rule that holds decides. One that may hold counts where that can only take away: a deny is taken, and after an
    /// abstain no later allow is.
    pub fn decide<'a>(&'a self, question: &Question) -> Decided<'a> {
        let mut held_back: Option<&str> = None;
        for rule in &self.rules {
            let holds = rule.condition.holds(question);
            match (holds, rule.decision) {
                (Some(false), _) | (None, Decision::Allow) => continue,
                (None, Decision::Abstain) => {
                    held_back.get_or_insert(&rule.name);
                }
                (Some(true), _) | (None, Decision::Deny) => return held(held_back, rule.decision, Some(&rule.name), holds.is_none()),
            }
        }
        held(held_back, self.default, None, false)
    }
}

fn held<'a>(held_back: Option<&'a str>, decision: Decision, rule: Option<&'a str>, doubt: bool) -> Decided<'a> {
    match (held_back, decision) {
        (Some(name), Decision::Allow) => Decided { decision: Decision::Abstain, rule: Some(name), doubt: true },
        _ => Decided { decision, rule, doubt },
    }
}

impl Condition {
    /// None: it depends on a fact that is absent.
    fn holds(&self, question: &Question) -> Option<bool> {
        match self {
            Condition::Test(test) => test.holds(question),
            Condition::Not(inner) => inner.holds(question).map(|holds| !holds),
            Condition::All(parts) => decided_by(parts, question, false),
            Condition::Any(parts) => decided_by(parts, question, true),
        }
    }
}

/// One part with this value decides; else an unknown part makes the whole unknown.
fn decided_by(parts: &[Condition], question: &Question, value: bool) -> Option<bool> {
    let mut whole = Some(!value);
    for part in parts {
        match part.holds(question) {
            Some(found) if found == value => return Some(value),
            Some(_) => {}
            None => whole = None,
        }
    }
    whole
}

impl Test {
    fn holds(&self, question: &Question) -> Option<bool> {
        let Question { request, caller, so_far } = question;
        match self {
            Test::Endpoint(wanted) => Some(wanted.contains(&request.endpoint)),
            Test::Method(wanted) => Some(wanted.contains(&request.method)),
            Test::Path(compare, wanted) => Some(wanted.iter().any(|path| fits(*compare, path, request.segments.iter().map(|segment| &**segment)))),
            Test::QueryExists(name) => Some(request.query.iter().any(|parameter| *parameter.name == **name)),
            Test::QueryIs(name, wanted) => {
                let values = request.query.iter().filter(|parameter| *parameter.name == **name).map(|parameter| &*parameter.value);
                all_or_none(values, wanted)
            }
            Test::HeaderIs(name, wanted) => {
                let mut values = request.headers.iter().filter(|field| *field.name == **name).map(|field| &*field.value).peekable();
                // The agent passes on only the fields that were asked for, and not those that are no UTF-8.
                values.peek()?;
                all_or_none(values, wanted)
            }
            Test::User(wanted) => is_one_of(caller.user_name.text(), wanted),
            Test::Group(wanted) => {
                if caller.user_groups.is_empty() {
                    return None;
                }
                Some(caller.user_groups.iter().any(|group| wanted.iter().any(|want| **want == **group)))
            }
            Test::Executable(compare, wanted) => path_fits(*compare, wanted, caller.executable_path.text()),
            Test::Process(wanted) => is_one_of(caller.process_name.text(), wanted),
            Test::Sha256(wanted) => is_one_of(caller.executable_sha256.text(), wanted),
            Test::Cgroup(compare, wanted) => path_fits(*compare, wanted, caller.cgroup_path.text()),
            Test::Elevated => Some(caller.elevated),
            Test::UptimeBelow(seconds) => known_seconds(request.uptime_seconds).map(|uptime| uptime < *seconds),
            Test::UptimeAbove(seconds) => known_seconds(request.uptime_seconds).map(|uptime| uptime > *seconds),
            Test::SoFar(wanted) => so_far.map(|outcome| wanted.contains(&outcome.kind)),
        }
    }
}

fn is_one_of(found: Option<&str>, wanted: &[String]) -> Option<bool> {
    found.map(|found| wanted.iter().any(|want| want == found))
}

/// Some values fit and others do not: which one the host believes is not known.
fn all_or_none<'a>(values: impl Iterator<Item = &'a str>, wanted: &[String]) -> Option<bool> {
    let (mut fitting, mut others) = (false, false);
    for value in values {
        if wanted.iter().any(|want| want == value) {
            fitting = true;
        } else {
            others = true;
        }
    }
    if fitting && others {
        None
    } else {
        Some(fitting)
    }
}

fn known_seconds(seconds: u64) -> Option<u64> {
    if seconds == 0 {
        None
    } else {
        Some(seconds)
    }
}

fn path_fits(compare: Compare, wanted: &[Vec<String>], found: Option<&str>) -> Option<bool> {
    let rest = found?.strip_prefix('/')?;
    let segments = || rest.split('/').filter(|segment| !segment.is_empty());
    Some(wanted.iter().any(|path| fits(compare, path, segments())))
}

fn fits<'a>(compare: Compare, wanted: &[String], mut found: impl Iterator<Item = &'a str>) -> bool {
    wanted.iter().all(|want| found.next() == Some(want.as_str())) && (compare == Compare::Under || found.next().is_none())
}
