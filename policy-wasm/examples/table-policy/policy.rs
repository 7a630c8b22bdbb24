//! A policy in a table that operators write: rules of conditions on the request and its caller. See README.md for the language.

mod bindings;
mod parse;
mod table;

use bindings::*;
use table::{Decision, Question, Table};

impl Policy for Table {
    fn configure(settings: &[u8]) -> Result<Self, String> {
        parse::parse_table(settings)
    }

    fn evaluate(&self, request: &Request, caller: &Caller, so_far: Option<&Outcome>) -> Outcome {
        let decided = self.decide(&Question { request, caller, so_far });
        let outcome = match (decided.decision, decided.rule.is_some(), decided.doubt) {
            (Decision::Allow, true, _) => Outcome::allow("allowed-by-rule"),
            (Decision::Allow, false, _) => Outcome::allow("allowed-by-default"),
            (Decision::Deny, true, false) => Outcome::deny("denied-by-rule"),
            (Decision::Deny, true, true) => Outcome::deny("denied-in-doubt"),
            (Decision::Deny, false, _) => Outcome::deny("denied-by-default"),
            (Decision::Abstain, true, false) => Outcome::abstain("abstained-by-rule"),
            (Decision::Abstain, true, true) => Outcome::abstain("abstained-in-doubt"),
            (Decision::Abstain, false, _) => Outcome::abstain("no-rule"),
        };
        outcome.with_rule(decided.rule.unwrap_or(""))
    }
}

export_policy!(Table);
