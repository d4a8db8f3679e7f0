//! The protocol, explored exhaustively: every order in which its steps can happen, over the model crate's own rules.
//!
//! `cargo test -p prove` explores the short scopes, `make prove` all of them. `cargo run -p prove -- mutants` tells how
//! each fault that is put in is found.
//!
//! # What is real, and what is described
//!
//! Every decision about a record is the shipped function's: `open`, `reopen`, `claim`, `work`, `start`, `confirm`,
//! `not_taken`, `refuse`, `receive`, `release`, `poll_again`, `expire`, `over_budget`, `join`,
//! `claim_deliveries`, `end_delivery`, `redeliver`, `budget::change`, and `CallbackKeys` for the tokens. There is no second
//! description of them. What is described here is what stands around them: in which order request λ and webhook λ
//! call them (`protocol`), how the table writes what they answer (`table`), and how LogRocket, destinations, callers and
//! strangers behave. The closures that request λ hands to `Table::change` are spelled here as they are there.
//!
//! # A state
//!
//! A [`World`] is the table's item, the workers with what each of them knows, what LogRocket took and said, what the
//! destinations took, the time, how often each trouble may still come ([`Left`]), and what properties need to know of the
//! past ([`Past`]), which no worker reads. All is about one key: requests meet each other in the budget only.
//!
//! # A step
//!
//! An [`Action`] is what happens between two awaits of one worker, or a move of somebody outside. Between two steps anybody
//! may come first, time may pass, and a worker may be no more: a crash, a lost write, and a time-out are that. So
//! the order of writes, a callback before LogRocket's answer, two sweeps at once and a claim that is left behind are
//! all in here, without being spelled out.
//!
//! # What is left out, and why nothing is lost by it
//!
//! - **A change is one step.** `Table::change` asks the rule of the record that the worker holds, writes on condition of
//!   its version, and asks again of what it finds. Whatever it does in the end, it does by the rule's answer about the
//!   record as it is in that moment: that is the step here. A rule that wants nothing of the record that was held, but would
//!   of the current one, is the one thing that is left out. No held record is such a one: the rule wanted it when
//!   the worker's decision was made (a POST's answer about the attempt that it wrote itself, a mark about the try that it
//!   took itself), and the decision of a sweep is made here of the held record, too.
//! - **A sweep's query, and its claim, are one step.** A sweep that loses its claim has done nothing. The same holds of
//!   reading a record and claiming its deliveries.
//! - **A callback, and its first write, are one step.** Before that it has only computed; it may as well have come later.
//!   Where the first call cannot decide (an older attempt, a result that is too large), the second is a step.
//!   That the blind updates equal the rules is shown by `crates/aws/tests`.
//! - **A callback may come at any time after LogRocket ended its attempt, any number of times, or never**: late,
//!   twice, lost, and in any order. It is not counted. What it changes once it changes no more, so the states stay few.
//! - **A record of the stream may be handed over at any time after its write, any number of times, or never.** It only
//!   makes webhook λ claim what is due: its image always has the hint, and so always wants the claim, which then is
//!   of the current record. Whether it comes is never relied on: [`Protocol::is_at_rest`] does not wait for it.
//! - **Time goes from date to date.** Nothing decides by the time but comparing it with the dates in the record, so between
//!   two of them nothing changes. It may pass while work is due (sweeps are late), and while workers are alive, up to the
//!   end of their time.
//! - **A worker reads the clock in the step that needs it.** The moments between that and the write are not told apart.
//! - **Records are told apart by what a rule can still read** (see `row`); workers have no order. A test explores the smaller
//!   scopes once more telling apart everything, and finds the same states.
//! - **Tokens are made and verified when a POST is made**, not at each callback: the answer depends on nothing else. What a
//!   stranger presents (made up, of another attempt, of an earlier request of the same key) is verified once each.
//! - **States are known by 64 bits**, as `stateright` does it: of 10 million, two fall together with a chance of one to
//!   some hundred thousand.
//!
//! Not explored at all: waits other than a scope's own (the jitter is always the middle, there is no `Retry-After`); more of
//! a trouble than a scope allows; the SDK's own repetitions of a write, skewed clocks, results' texts, deliveries of several
//! messages, and `maxAge`'s search. The tests of `aws`, `model` and `webhook` have those.
//!
//! # That something happens at last
//!
//! `stateright` cannot follow a way round in circles, so "at last" is said in two parts. *At rest*, where nothing goes on by
//! itself, all must be settled: an `always` property, that does not count on any message which may be lost. And *every way
//! ends at rest*: each scope is explored to its end, so that there are finitely many states; a test shows of the smaller
//! ones that no way comes back to where it was; and a number of claims beyond any need is a property's failure in all.

mod mutants;
pub mod properties;
mod protocol;
mod row;
mod scopes;
pub mod story;
mod table;
mod world;

pub use mutants::Mutant;
pub use protocol::{Action, BadScope, ForgedToken, Posting, Protocol};
pub use row::Row;
pub use scopes::{Manner, Scope};
pub use world::{Answer, Begun, Keys, Left, Past, Post, Reply, Said, Stage, Trying, Worker, Workers, World};
