//! Settings of the installation: which version a request replaces, who follows them, and that a replay has the same.

use std::collections::BTreeMap;

use engine::{
    Answered, Applied, Engine, Entry, Expected, Fact, Made, Operation, PutSetting, Refusal, RemoveSetting, Request,
    SETTING_BYTES_MAX, SETTINGS_MAX, Setting, SettingKind, SettingRefusal, query,
};
use proptest::prelude::*;
use types::{ActorId, Origin, RequestId, Seq, SettingName, ShardId, TenantId, Timestamp};

const START: Timestamp = Timestamp::from_ns(1_767_225_600_000_000_000);
const KIND: SettingKind = SettingKind::Role;

/// The engine of an installation, with all its entries.
struct World {
    engine: Engine,
    entries: Vec<Entry>,
}

impl World {
    fn new() -> Self {
        let mut world = Self { engine: empty(), entries: Vec::new() };
        world
            .engine
            .start(START, Origin::new(7), &mut |applied: Applied<'_>| world.entries.push(applied.entry.clone()));
        world
    }

    fn ask<O: Operation>(&mut self, operation: O) -> Answered<O> {
        let (tenant, command) = (TenantId::new(1), operation.into());
        let request = Request { tenant, actor: ActorId::new(5), id: RequestId::new(9), command };
        let mut sink = |applied: Applied<'_>| self.entries.push(applied.entry.clone());
        O::answer(self.engine.execute(START, &request, &mut sink))
    }

    fn put(&mut self, name: &str, document: &str, expected: Expected) -> Result<(Made, Seq), SettingRefusal> {
        let put = PutSetting { kind: KIND, name: setting_name(name), document: document.into(), expected };
        told(self.ask(put)).map(|(made, setting)| (made, setting.version))
    }

    fn remove(&mut self, name: &str, expected: Expected) -> Result<Made, SettingRefusal> {
        told(self.ask(RemoveSetting { kind: KIND, name: setting_name(name), expected }))
    }

    /// Whether a replay of the entries gives the same state.
    fn replays(&self) {
        let mut replayed = empty();
        for entry in &self.entries {
            replayed.apply(entry);
        }
        assert!(replayed.settings().eq(self.engine.settings()));
        assert_eq!(replayed.digest(), self.engine.digest());
    }
}

fn empty() -> Engine {
    Engine::new(ShardId::new(1), TenantId::new(0))
}

fn setting_name(name: &str) -> SettingName {
    name.parse().expect("a name")
}

fn told<T>(answer: Result<T, Refusal>) -> Result<T, SettingRefusal> {
    answer.map_err(|refusal| {
        let Refusal::Setting(refusal) = refusal else { panic!("{refusal:?}") };
        refusal
    })
}

#[test]
fn a_setting_is_replaced_only_in_the_version_that_the_request_expects() {
    let mut world = World::new();
    let (kind, name) = (KIND, setting_name("a"));
    let missing = SettingRefusal::NotFound { kind, name: name.clone() };
    assert_eq!(world.put("a", "1", Expected::Version(Seq::new(1))), Err(missing.clone()));
    assert_eq!(world.remove("a", Expected::Any), Err(missing.clone()));
    let (made, first) = world.put("a", "1", Expected::Absent).expect("a setting");
    assert_eq!((made, first), (Made::Now, Seq::new(2)));
    assert_eq!(world.put("a", "1", Expected::Absent), Ok((Made::Before, first)), "a retry");
    assert_eq!(world.put("a", "2", Expected::Absent), Err(SettingRefusal::Exists { kind, name: name.clone() }));
    let second = Seq::new(3);
    assert_eq!(world.put("a", "2", Expected::Version(first)), Ok((Made::Now, second)));
    assert_eq!(world.put("a", "2", Expected::Version(first)), Ok((Made::Before, second)), "a retry");
    let changed = SettingRefusal::Changed { kind, name: name.clone(), present: second, expected: first };
    assert_eq!(world.put("a", "3", Expected::Version(first)), Err(changed.clone()));
    assert_eq!(world.remove("a", Expected::Version(first)), Err(changed));
    assert_eq!(world.put("a", "3", Expected::Any), Ok((Made::Now, Seq::new(4))));
    let known = world.engine.setting(kind, &name).expect("a setting").clone();
    assert_eq!((known.added_at < known.put_at, known.put_by), (true, (TenantId::new(1), ActorId::new(5))));
    let other = query::Setting { kind: SettingKind::Client, name: name.clone() };
    assert_eq!(told(world.ask(other)).map(drop), Err(SettingRefusal::NotFound { kind: SettingKind::Client, name }));
    assert_eq!(world.remove("a", Expected::Version(Seq::new(4))), Ok(Made::Now));
    assert_eq!(world.remove("a", Expected::Any), Err(missing));
    assert_eq!(world.entries.len(), 5, "retries and refusals make no entry");
    let header = world.entries.last().expect("an entry").header;
    assert_eq!(
        (header.tenant, header.actor),
        (TenantId::new(1), ActorId::new(5)),
        "entries say whose principal it was"
    );
    world.replays();
}

#[test]
fn documents_and_kinds_are_bounded() {
    let mut world = World::new();
    let longest = "x".repeat(SETTING_BYTES_MAX);
    assert!(world.put("a", &longest, Expected::Any).is_ok());
    let (kind, name, bytes) = (KIND, setting_name("b"), SETTING_BYTES_MAX + 1);
    let refused = SettingRefusal::TooLarge { kind, name, bytes };
    assert_eq!(world.put("b", &format!("{longest}x"), Expected::Any), Err(refused));
    for number in 1..SETTINGS_MAX {
        world.put(&number.to_string(), "0", Expected::Any).expect("there is room");
    }
    assert_eq!(world.put("b", "0", Expected::Any), Err(SettingRefusal::TooMany { kind }));
    assert!(world.put("a", "0", Expected::Any).is_ok(), "those that exist can change");
    assert!(world.remove("a", Expected::Any).is_ok());
    assert!(world.put("b", "0", Expected::Any).is_ok());
    let all = world.engine.settings_changed_since(1);
    assert_eq!((all.are_all, all.changed.len()), (true, SETTINGS_MAX), "whoever is far behind gets all");
}

#[test]
fn pages_list_the_settings_of_a_kind_in_order_of_name() {
    let mut world = World::new();
    for name in ["c", "a", "https://b", "B"] {
        world.put(name, "1", Expected::Any).expect("a setting");
    }
    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let page = world.ask(query::Settings { kind: KIND, after, limit: 3 }).expect("a page");
        listed.extend(page.items.iter().map(|setting: &Setting| setting.name.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, ["B", "a", "c", "https://b"]);
    let none = world.ask(query::Settings { kind: SettingKind::Tenant, after: None, limit: 3 }).expect("a page");
    assert!(none.items.is_empty() && none.next.is_none());
}

proptest! {
    /// Whatever is put and removed, somebody who follows the changes knows the same settings, however seldom he asks, and a
    /// replay has them too.
    #[test]
    fn followers_and_replays_know_the_settings(
        steps in prop::collection::vec((0_usize..2, 0_u8..4, 0_u8..3, 0_u8..6, any::<bool>()), 1..60),
    ) {
        let mut world = World::new();
        let mut followed = BTreeMap::new();
        let mut known = 0;
        for (kind, name, document, expected, asks) in steps {
            let (kind, name) = (SettingKind::ALL[kind], setting_name(&name.to_string()));
            let present = world.engine.setting(kind, &name).map(|setting| setting.version);
            let expected = match expected {
                0 => Expected::Absent,
                1 => Expected::Version(Seq::new(2)),
                2 => present.map_or(Expected::Absent, Expected::Version),
                _ => Expected::Any,
            };
            let entries = world.entries.len();
            let made = if document == 0 {
                told(world.ask(RemoveSetting { kind, name: name.clone(), expected }))
            } else {
                let document = document.to_string().into();
                told(world.ask(PutSetting { kind, name: name.clone(), document, expected })).map(|(made, _)| made)
            };
            prop_assert_eq!(world.entries.len() - entries, usize::from(made == Ok(Made::Now)));
            if made == Ok(Made::Now) {
                let fits = match expected {
                    Expected::Any => true,
                    Expected::Absent => present.is_none(),
                    Expected::Version(version) => present == Some(version),
                };
                prop_assert!(fits, "{expected:?} does not fit {present:?}");
                let is_setting = matches!(world.entries.last(), Some(Entry { fact: Fact::Setting(_), .. }));
                prop_assert!(is_setting);
            }
            if asks {
                let told = world.engine.settings_changed_since(known);
                if told.are_all {
                    followed.clear();
                }
                for (kind, name, setting) in told.changed {
                    match setting {
                        Some(setting) => followed.insert((kind, name), setting),
                        None => followed.remove(&(kind, name)),
                    };
                }
                known = world.engine.setting_changes();
                prop_assert!(followed.values().eq(world.engine.settings()));
            }
        }
        world.replays();
    }
}
