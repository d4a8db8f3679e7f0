//! What the simulator is told to do: how a POST is answered, what comes of it, what a poll finds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How one POST goes. The default is a LogRocket at its best: answered at once, one READY callback a moment later.
///
/// As JSON (for the control route) every field may be left out:
///
/// ```json
/// { "answer": {"status": 429, "retryAfter": "30"}, "taken": false, "answerAfterMs": 0,
///   "steps": [ {"outcome": "FAILED", "afterMs": 100}, {"outcome": "READY", "afterMs": 200, "callback": false} ],
///   "result": {"dialect": "COMPLETE", "sessions": 2, "extraFields": true, "bytes": 400000, "incompressible": true} }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Behaviour {
    /// What the caller is answered.
    pub answer: Answer,
    /// Whether LogRocket works on the request, whatever it answered. Unset: if the answer is a 200.
    pub taken: Option<bool>,
    /// How long the answer takes.
    #[serde(rename = "answerAfterMs", with = "millis")]
    pub answer_after: Duration,
    /// What comes of the request, in the order in which it happened: of the steps that are due, the last is what a
    /// poll finds. Callbacks arrive in the order of [`Step::after`], so a list can tell them reordered. None: it
    /// stays PENDING until the test sends a callback itself.
    pub steps: Vec<Step>,
    /// What a result looks like.
    pub result: Shape,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::ready()
    }
}

impl Behaviour {
    /// One READY.
    pub fn ready() -> Self {
        Self::steps([Step::new(Outcome::Ready)])
    }

    /// One FAILED.
    pub fn failed() -> Self {
        Self::steps([Step::new(Outcome::Failed)])
    }

    /// READY, but the callback is lost: only a poll finds it.
    pub fn lost() -> Self {
        Self::steps([Step::new(Outcome::Ready).without_callback()])
    }

    /// PENDING until [`LogRocket::send_callback`](super::LogRocket::send_callback) says otherwise.
    pub fn manual() -> Self {
        Self::steps([])
    }

    /// These steps, in the order in which they happened.
    pub fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            answer: Answer::Id,
            taken: None,
            answer_after: Duration::ZERO,
            steps: steps.into_iter().collect(),
            result: Shape::default(),
        }
    }

    /// An error answer; LogRocket did not take the request (see [`Behaviour::taken`]).
    pub fn status(status: u16) -> Self {
        Self::ready().answering(Answer::Status { status, retry_after: None, body: None })
    }

    /// No answer ever; the request is not taken (see [`Behaviour::taken`]).
    pub fn hang() -> Self {
        Self::ready().answering(Answer::Hang)
    }

    /// The connection is closed without an answer; the request is not taken (see [`Behaviour::taken`]).
    pub fn cut() -> Self {
        Self::ready().answering(Answer::Cut)
    }

    /// 200 with a body that is no JSON; the request is taken.
    pub fn garbage() -> Self {
        Self::ready().answering(Answer::Garbage)
    }

    /// 200 with JSON that has no `id`; the request is taken.
    pub fn without_id() -> Self {
        Self::ready().answering(Answer::WithoutId)
    }

    /// Answers like that instead.
    pub fn answering(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// With `Retry-After`: seconds, or an HTTP date. Only an [`Answer::Status`] has one.
    pub fn retry_after(mut self, value: impl ToString) -> Self {
        if let Answer::Status { retry_after, .. } = &mut self.answer {
            *retry_after = Some(value.to_string());
        }
        self
    }

    /// With that body. Only an [`Answer::Status`] has one.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let Answer::Status { body, .. } = &mut self.answer {
            *body = Some(text.into());
        }
        self
    }

    /// LogRocket took the request on, or did not, whatever it answers.
    pub fn taken(mut self, taken: bool) -> Self {
        self.taken = Some(taken);
        self
    }

    /// The answer comes that much later.
    pub fn slow(mut self, by: Duration) -> Self {
        self.answer_after = by;
        self
    }

    /// Every step comes that long after the answer.
    pub fn after(mut self, delay: Duration) -> Self {
        for step in &mut self.steps {
            step.after = Some(delay);
        }
        self
    }

    /// Every callback is sent, and its answer awaited, before the POST is answered.
    pub fn early(mut self) -> Self {
        for step in &mut self.steps {
            step.early = true;
        }
        self
    }

    /// Every callback comes twice.
    pub fn twice(mut self) -> Self {
        self.steps = self.steps.into_iter().flat_map(|step| [step.clone(), step]).collect();
        self
    }

    /// Then that happened too.
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// With a result of that shape.
    pub fn result(mut self, shape: Shape) -> Self {
        self.result = shape;
        self
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.unwrap_or(matches!(self.answer, Answer::Id | Answer::Garbage | Answer::WithoutId))
    }
}

/// What a POST is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Answer {
    /// 200 `{"id": …}`.
    Id,
    /// 200 and half a JSON object.
    Garbage,
    /// 200 `{}`.
    WithoutId,
    /// Nothing, for as long as the caller waits.
    Hang,
    /// The connection is closed.
    Cut,
    /// That status. A 3xx comes with a `Location`; without a body, a JSON `error` is sent.
    #[serde(untagged, rename_all = "camelCase")]
    Status {
        /// The status.
        status: u16,
        /// The value of `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
        /// The body, sent as it stands.
        #[serde(default)]
        body: Option<String>,
    },
}

/// Something that became of a request, and the callback that tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// What it became.
    pub outcome: Outcome,
    /// How long after the answer. Unset: the simulator's usual delay.
    #[serde(rename = "afterMs", default, with = "optional_millis")]
    pub after: Option<Duration>,
    /// Before the answer instead, which waits for the callback's own.
    #[serde(default)]
    pub early: bool,
    /// Whether a callback is sent; without one, only a poll finds it.
    #[serde(default = "yes")]
    pub callback: bool,
}

impl Step {
    /// That outcome, told by a callback after the simulator's usual delay.
    pub fn new(outcome: Outcome) -> Self {
        Self { outcome, after: None, early: false, callback: true }
    }

    /// That long after the answer.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = Some(delay);
        self
    }

    /// Before the answer, which waits until the callback is answered.
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// No callback tells it.
    pub fn without_callback(mut self) -> Self {
        self.callback = false;
        self
    }
}

/// LogRocket's word for how far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Still working.
    Pending,
    /// There is a result.
    Ready,
    /// There will be none.
    Failed,
}

/// What a result looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Shape {
    /// Whose spelling.
    pub dialect: Dialect,
    /// How many sessions; LogRocket looks at ten at most.
    pub sessions: usize,
    /// Fields that nobody announced, on every level.
    pub extra_fields: bool,
    /// At least so many bytes of highlights: the text is filled up.
    pub bytes: usize,
    /// Filled up with noise that compresses by a quarter at best, instead of with text.
    pub incompressible: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { dialect: Dialect::Ready, sessions: 3, extra_fields: false, bytes: 0, incompressible: false }
    }
}

/// The two spellings of a result that LogRocket has published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Dialect {
    /// LogRocket's page: `READY`, `recordingID`, an integer `sessionID`.
    #[default]
    Ready,
    /// The published AsyncAPI: `COMPLETE`, `recordingID`, a string `sessionId`.
    Complete,
}

/// How one poll is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum PollAnswer {
    /// As things stand.
    #[default]
    Truth,
    /// PENDING, however things stand.
    Pending,
    /// As things stand, but under the id of another request.
    OtherId,
    /// 200 and half a JSON object.
    Garbage,
    /// 200 and this text.
    Body(String),
    /// Nothing, for as long as the caller waits.
    Hang,
    /// The connection is closed.
    Cut,
    /// That status, with a JSON `error`.
    Status(u16),
}

fn yes() -> bool {
    true
}

mod millis {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_millis().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

mod optional_millis {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|value| value.as_millis()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_behaviour_is_read_from_short_json() {
        let read = |value| serde_json::from_value::<Behaviour>(value).unwrap();

        assert_eq!(read(json!({})), Behaviour::ready());
        assert_eq!(read(json!({"steps": []})), Behaviour::manual());
        assert_eq!(read(json!({"answer": "hang", "taken": true})), Behaviour::hang().taken(true));
        assert_eq!(
            read(json!({"answer": {"status": 429, "retryAfter": "30"}})),
            Behaviour::status(429).retry_after(30)
        );
        assert_eq!(
            read(
                json!({"steps": [{"outcome": "FAILED", "afterMs": 5}, {"outcome": "READY", "callback": false}]})
            ),
            Behaviour::failed()
                .after(Duration::from_millis(5))
                .then(Step::new(Outcome::Ready).without_callback())
        );
        assert!(serde_json::from_value::<Behaviour>(json!({"step": []})).is_err());
    }

    #[test]
    fn a_behaviour_survives_its_own_json() {
        let all = [
            Behaviour::ready().early().twice(),
            Behaviour::status(503).body("busy").taken(true),
            Behaviour::garbage().slow(Duration::from_secs(1)),
        ];
        for behaviour in all {
            let written = serde_json::to_value(&behaviour).unwrap();
            assert_eq!(serde_json::from_value::<Behaviour>(written).unwrap(), behaviour);
        }
    }
}
