//! The short scopes hold; each fault that is put in is found; and the exploring itself overlooks nothing.

#![cfg(test)]

use prove::{Mutant, Protocol, Scope, World, properties, story};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

fn short(name: &str) -> Scope {
    Scope::short().into_iter().find(|scope| scope.name == name).expect("a short scope")
}

fn protocol(scope: Scope, mutant: Option<Mutant>) -> Protocol {
    Protocol::new(scope, mutant).expect("a scope that can be read")
}

fn digest(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn every_short_scope_holds() {
    for scope in Scope::short() {
        let (name, seen) = (scope.name, scope.seen);
        let checker = protocol(scope, None)
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .threads(2)
            .spawn_dfs()
            .join();
        let mut found = checker.discoveries();
        for property in properties::always() {
            if let Some(path) = found.remove(property) {
                panic!("{name}: {property}\n{}", story::tell(checker.model(), path));
            }
        }
        for property in seen {
            assert!(found.contains_key(property), "{name}: never seen: {property}");
        }
        assert!(checker.is_done() && checker.unique_state_count() > 1_000, "{name} is empty");
    }
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let (scope, property) = mutant.is_caught_by();
        assert!(properties::always().any(|name| name == property));
        let finish = HasDiscoveries::AnyOf([property].into());
        let checker = protocol(short(scope), Some(mutant)).checker().finish_when(finish).spawn_bfs().join();
        assert!(checker.discovery(property).is_some(), "{mutant:?} does not break: {property}");
    }
}

#[test]
fn mutants_and_scopes_are_named_once_and_ask_for_what_is_there() {
    assert_eq!(Mutant::ALL.into_iter().collect::<BTreeSet<_>>().len(), Mutant::ALL.len());
    let names: BTreeSet<_> = Scope::all().iter().map(|scope| scope.name).collect();
    assert_eq!(names.len(), Scope::all().len());
    for scope in Scope::all() {
        assert!(scope.seen.iter().all(|name| properties::is_known(name)), "{}", scope.name);
        assert!(Protocol::new(scope, None).is_ok());
    }
}

/// States are told apart by what a rule or property can read. If that left out too much, a state that is reached by
/// telling apart everything would be missing here.
#[test]
fn nothing_is_overlooked_by_telling_states_apart_plainly() {
    for name in ["deliveries", "strangers", "late marks", "down"] {
        let sharp = protocol(short(name), None).sharp();
        let (mut known, mut plain) = (HashSet::new(), HashSet::new());
        let mut open = sharp.init_states();
        while let Some(world) = open.pop() {
            if known.insert(digest(&world)) {
                plain.insert(digest(&sharp.plain(&world)));
                open.extend(sharp.next_states(&world));
            }
        }
        let checker = protocol(short(name), None).checker().spawn_dfs().join();
        assert_eq!(checker.unique_state_count(), plain.len(), "{name}");
        assert!(known.len() > plain.len(), "{name}: nothing to overlook");
    }
}

/// There is no way round in circles, and where no way leads on, all is at rest. So every way ends at rest, and what holds
/// there is reached at last, not only never broken.
#[test]
fn every_way_ends_at_rest() {
    for name in ["attempts", "deliveries", "strangers", "retention", "too large", "late marks", "down"] {
        let protocol = protocol(short(name), None);
        // On the way to it, or done with.
        let mut done: HashMap<u64, bool> = HashMap::new();
        let mut ways: Vec<(u64, Vec<World>)> = Vec::new();
        let mut entered = protocol.init_states();
        loop {
            if let Some(world) = entered.pop() {
                let digest = digest(&world);
                match done.get(&digest) {
                    Some(true) => {}
                    Some(false) => panic!("{name}: a circle at {world:?}"),
                    None => {
                        let next = protocol.next_states(&world);
                        assert!(
                            !next.is_empty() || protocol.is_at_rest(&world),
                            "{name}: stuck at {world:?}"
                        );
                        done.insert(digest, false);
                        ways.push((digest, next));
                    }
                }
            }
            let Some((digest, next)) = ways.last_mut() else { break };
            match next.pop() {
                Some(world) => entered.push(world),
                None => {
                    done.insert(*digest, true);
                    ways.pop();
                }
            }
        }
        assert!(done.len() > 1_000 && done.values().all(|done| *done));
    }
}
