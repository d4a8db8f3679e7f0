//! Credentials: missing, malformed, rotated while the function is warm, refused for good; and Salesforce's token.

use super::{CASES, Case, LEASE, Round, Told, one_of_each_kind, request, result};
use local::destinations::{Behaviour, Kind, Place};
use local::logrocket;
use local::secrets::SecretsManager;
use serde_json::{Value, json};
use stories::World;

/// Secrets Manager, and a world whose functions read it. Its deliveries wait for a sweep, so that one process makes them
/// all.
struct Vault {
    manager: SecretsManager,
    world: World,
}

impl Vault {
    async fn open() -> Self {
        let (world, manager) = World::with_secrets_manager(&[LEASE]).await;
        world.log_rocket.usually(logrocket::Behaviour::manual());
        Self { manager, world }
    }

    /// From now on, those are the destinations' credentials.
    fn holds(&self, destinations: &Value) {
        let mut own = self.world.own_secrets();
        own["destinations"] = destinations.clone();
        self.manager.put("own", &own);
    }

    /// The function starts anew, and reads what there is now.
    async fn forget(&self) {
        self.world.webhook.kill().await;
    }

    fn reads(&self) -> usize {
        self.manager.calls_for("own")
    }

    /// Asks for these, and has them delivered.
    async fn deliver(&self, cases: impl IntoIterator<Item = &'static Case>) -> Vec<Told> {
        let round = Round::ask(&self.world, cases, &request(), &Value::Null).await.result(&result()).await;
        self.world.sweep_deliveries().await;
        round.ended().await
    }
}

/// Those that need credentials, of each kind one.
fn with_credentials() -> Vec<&'static Case> {
    one_of_each_kind().into_iter().filter(|case| !case.secret.is_empty()).collect()
}

fn pointer(case: &Case) -> String {
    format!("/{}", case.secret.replace('.', "/"))
}

#[tokio::test]
async fn what_is_missing_or_malformed_is_named_and_in_nobody_elses_way() {
    let vault = Vault::open().await;
    let right = vault.world.destinations.secrets();
    let kinds = with_credentials();
    // Half of them each time, so that the others are there to see.
    for (wrong, half) in [("missing", 0), ("missing", 1), ("malformed", 0), ("malformed", 1)] {
        let mut secrets = right.clone();
        let is_wrong = |case: &Case| {
            kinds.iter().position(|other| other.kind == case.kind).is_some_and(|at| at % 2 == half)
        };
        for case in kinds.iter().filter(|case| is_wrong(case)) {
            let field = secrets.pointer_mut(&pointer(case)).unwrap();
            *field = if wrong == "missing" { Value::Null } else { json!("hush\n hush://") };
            if wrong == "missing" {
                let (parent, name) = case.secret.rsplit_once('.').unwrap();
                let parent = secrets.pointer_mut(&format!("/{}", parent.replace('.', "/"))).unwrap();
                parent.as_object_mut().unwrap().remove(name);
            }
        }
        vault.holds(&secrets);
        vault.forget().await;
        for told in vault.deliver(CASES).await {
            let name = format!("{wrong}: {}: {:#}", told.name(), told.delivery);
            if !is_wrong(told.case) {
                told.assert_delivered(1);
            } else if wrong == "malformed" && matches!(told.case.kind, Kind::Zendesk | Kind::Salesforce) {
                // Whatever it is, it may be a token: who says no is the vendor.
                told.assert_given_up();
                assert!(!told.last_error().contains("hush"), "{name}");
            } else {
                told.assert_given_up();
                assert!(told.last_error().contains(&format!("destinations.{}", told.case.secret)), "{name}");
                assert!(!told.last_error().contains("hush"), "{name}");
                assert!(told.calls.is_empty(), "{name}");
            }
        }
    }

    // None of them at all.
    vault.holds(&json!({}));
    vault.forget().await;
    let round = Round::ask(&vault.world, CASES, &request(), &Value::Null).await.result(&result()).await;
    vault.world.sweep_deliveries().await;
    for told in round.ended().await {
        match told.case.secret.split_once('.') {
            None => told.assert_delivered(1),
            Some((section, _)) => {
                told.assert_given_up();
                let name = format!("destinations.{section}");
                assert!(told.last_error().contains(&name), "{}: {}", told.name(), told.last_error());
            }
        }
    }

    // All are mended, and delivered again by the process that missed them.
    vault.holds(&right);
    for id in round.ids() {
        vault.world.redeliver(&id).await;
    }
    vault.world.sweep_deliveries().await;
    for told in round.ended().await {
        assert_eq!(
            (told.status(), told.messages.len()),
            ("DELIVERED", 1),
            "{}: {:#}",
            told.name(),
            told.delivery
        );
    }
}

/// Every credential is another one: the old ones are refused.
fn rotate(world: &World) {
    for case in with_credentials() {
        world.destinations.rotate(case.kind);
    }
    world.destinations.expire_tokens();
    // Where the URL is the secret, there is a new one.
    for (kind, old, new) in [(Kind::SlackWebhook, "nps", "nps2"), (Kind::Teams, "support", "support2")] {
        world.destinations.place(
            kind,
            old,
            if kind == Kind::Teams { Place::Foreign } else { Place::Missing },
        );
        world.destinations.place(kind, new, Place::Open);
    }
}

fn rotated(world: &World) -> Value {
    let mut secrets = world.destinations.secrets();
    for pointer in ["/slack/webhooks/nps", "/teams/webhooks/support"] {
        let url = secrets.pointer_mut(pointer).unwrap();
        *url = json!(format!("{}2", url.as_str().unwrap()));
    }
    secrets
}

#[tokio::test]
async fn what_was_rotated_while_the_function_is_warm_is_read_again_once_and_used_in_the_same_try() {
    // 1. The function has read the old ones, and used them.
    let vault = Vault::open().await;
    for told in vault.deliver(with_credentials()).await {
        told.assert_delivered(1);
    }

    // 2. All are rotated.
    rotate(&vault.world);
    vault.holds(&rotated(&vault.world));
    let reads = vault.reads();
    for told in vault.deliver(with_credentials()).await {
        let name = format!("{}: {:#}\n{:#?}", told.name(), told.delivery, told.calls);
        assert_eq!((told.status(), told.attempts(), told.messages.len()), ("DELIVERED", 1, 1), "{name}");
        let refused = told.calls.iter().filter(|call| !call.accepted).count();
        assert_eq!((refused, told.calls.len()), (1, 2), "{name}");
        told.assert_says_its_request();
    }
    assert_eq!(vault.reads(), reads + 1);
}

#[tokio::test]
async fn what_is_refused_for_good_is_given_up() {
    let vault = Vault::open().await;
    for told in vault.deliver(with_credentials()).await {
        told.assert_delivered(1);
    }
    rotate(&vault.world);
    let reads = vault.reads();
    for told in vault.deliver(with_credentials()).await {
        told.assert_given_up();
        assert!(told.messages.is_empty(), "{}", told.name());
        let secret = vault.world.destinations.secrets();
        for hidden in [secret.pointer(&pointer(told.case)), secret.pointer("/zendesk/email")] {
            let hidden = hidden.unwrap().as_str().unwrap();
            assert!(!told.last_error().contains(hidden), "{}: {}", told.name(), told.last_error());
        }
    }
    // They were read again, once for all: nobody can have us do so as often as he likes.
    assert_eq!(vault.reads(), reads + 1);
    for told in vault.deliver(with_credentials()).await {
        told.assert_given_up();
    }
    assert_eq!(vault.reads(), reads + 1);
    assert_eq!(vault.world.sweep_deliveries().await["due"], 0);
}

fn tokens(world: &World) -> usize {
    world.destinations.received().iter().filter(|call| call.kind == Kind::SalesforceToken).count()
}

#[tokio::test]
async fn salesforces_token_is_kept_and_renewed_when_it_is_good_no_more() {
    let vault = Vault::open().await;
    let salesforce = || CASES.iter().filter(|case| case.kind == Kind::Salesforce);
    // 1. One token for all, whether they come one after the other or at once.
    for _ in 0..3 {
        for told in vault.deliver(salesforce()).await {
            told.assert_delivered(1);
        }
    }
    assert_eq!(tokens(&vault.world), 1);

    // 2. It ends: of those that find out at once, one gets another.
    vault.world.destinations.expire_tokens();
    for told in vault.deliver(salesforce()).await {
        told.assert_delivered(1);
    }
    assert_eq!(tokens(&vault.world), 2);

    // 3. No token is to be had, for whatever reason: nothing is made, and what passes is tried again.
    for (behaviour, status, words) in [
        (Behaviour::Failure, "PENDING", "Salesforce, asked for a token, answered 503"),
        (Behaviour::RateLimited(30), "PENDING", "rate_limit_exceeded"),
        (Behaviour::CutBefore, "PENDING", "no answer"),
        (Behaviour::CutAfter, "PENDING", "no answer"),
        (Behaviour::Garbage, "PENDING", "answered 200 without one"),
        (Behaviour::Huge, "PENDING", "answered 200 without one"),
        (
            Behaviour::redirect(vault.world.hook("trap")),
            "FAILED",
            "check destinations.salesforce in the secret",
        ),
        (Behaviour::Refused, "FAILED", "invalid_client"),
        (Behaviour::refused_as("invalid_grant"), "FAILED", "invalid_grant"),
    ] {
        vault.world.destinations.expire_tokens();
        vault.world.destinations.usually(Kind::SalesforceToken, behaviour.clone());
        let round =
            Round::ask(&vault.world, salesforce(), &request(), &Value::Null).await.result(&result()).await;
        vault.world.sweep_deliveries().await;
        for told in round.tried().await {
            let name = format!("{} {behaviour:?}: {:#}", told.name(), told.delivery);
            assert_eq!((told.status(), told.attempts()), (status, 1), "{name}");
            assert!(told.last_error().contains(words), "{name}");
            assert!(told.messages.is_empty(), "{name}");
        }
        vault.world.destinations.usually(Kind::SalesforceToken, Behaviour::Ok);
        for id in round.ids() {
            vault.world.redeliver(&id).await;
        }
        vault.world.sweep_deliveries().await;
        for told in round.ended().await {
            assert_eq!(
                (told.status(), told.messages.len()),
                ("DELIVERED", 1),
                "{behaviour:?}: {:#}",
                told.delivery
            );
        }
    }
    let received = vault.world.destinations.received();
    assert!(received.iter().all(|call| !call.path.ends_with("/trap")), "a redirect was followed");
}
