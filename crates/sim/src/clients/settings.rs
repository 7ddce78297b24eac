//! Requests about settings of the installation and subjects of access tokens. Few names and few versions, so that they conflict.

use engine::{AdmitSubject, Expected, PrincipalKind, PutSetting, RemoveSetting, SettingKind, query};
use types::{Seq, SettingName, TokenSubject};

use super::Kind;
use crate::Rng;
use crate::edge::Sent;

pub(super) fn request(what: Kind, rng: &mut Rng) -> Sent {
    let kind = *rng.pick(&SettingKind::ALL);
    let name: SettingName = format!("https://{}.example.org", rng.below(3)).parse().expect("an address is a name");
    let expected = match rng.below(8) {
        0 => Expected::Absent,
        1 => Expected::Version(Seq::new(rng.below(200))),
        _ => Expected::Any,
    };
    match what {
        Kind::Subject => {
            let subject = TokenSubject::new("https://login.example.org", &rng.below(6).to_string());
            let (subject, kind) = (subject.expect("short texts"), *rng.pick(&PrincipalKind::ALL));
            Sent::within(AdmitSubject { subject, kind, name: "simulated".into() })
        }
        Kind::RemoveSetting => Sent::within(RemoveSetting { kind, name, expected }),
        Kind::GetSettings if rng.percent(50) => Sent::within(engine::Query::from(query::Setting { kind, name })),
        Kind::GetSettings => {
            let after = rng.percent(50).then_some(name);
            Sent::within(engine::Query::from(query::Settings { kind, after, limit: 2 }))
        }
        _ => {
            let bytes = if rng.percent(5) { engine::SETTING_BYTES_MAX } else { 0 };
            let document = format!("{{\"n\":{}{}}}", rng.below(4), " ".repeat(bytes)).into();
            Sent::within(PutSetting { kind, name, document, expected })
        }
    }
}
