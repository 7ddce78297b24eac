//! Tables of who is admitted, and loads that are played against the limits.

use super::*;

const WINDOW: Span = Span::from_ns(100_000_000);

const fn ms(ms: u64) -> Span {
    Span::from_ns(ms * 1_000_000)
}

fn client(tenant: u32, credential: u64) -> Client {
    Client::of_api_key(TenantId::new(tenant), CredentialId::new(credential))
}

fn limited(client_per_second: u32, tenant_per_second: u32) -> Admission {
    Admission::new(Limits { client_per_second, tenant_per_second, ..Limits::STANDARD })
}

/// How many of `count` requests at the same time are admitted, and what refuses the first of the others.
fn admitted(admission: &mut Admission, now: Span, client: Client, count: usize) -> (usize, Option<By>) {
    let answers: Vec<_> = (0..count).map(|_| admission.ask(now, client, 1, None)).collect();
    let refused = answers.iter().find_map(|answer| answer.as_ref().err().map(|refusal| refusal.by));
    (answers.iter().filter(|answer| answer.is_ok()).count(), refused)
}

#[test]
fn a_flood_of_a_client_ends_at_its_limit_and_one_of_a_tenant_at_the_limit_of_the_tenant() {
    let mut admission = limited(10, 15);
    assert_eq!(admitted(&mut admission, ms(0), client(1, 1), 30), (10, Some(By::Client(10))));
    assert_eq!(admitted(&mut admission, ms(0), client(1, 2), 30), (5, Some(By::Tenant(15))));
    assert_eq!(admitted(&mut admission, ms(0), client(2, 1), 9), (9, None), "another tenant has limits of its own");
    assert_eq!(admitted(&mut admission, ms(100), client(1, 1), 30), (1, Some(By::Client(10))));
    assert_eq!(admitted(&mut admission, ms(2_000), client(1, 1), 30), (10, Some(By::Client(10))));
}

#[test]
fn subjects_of_tokens_and_keys_are_clients_of_their_own() {
    let subject = |tenant: u32, issuer: &str, subject: &str| {
        Client::of_subject(TenantId::new(tenant), &TokenSubject::new(issuer, subject).unwrap())
    };
    let mut admission = limited(10, 0);
    let all = [subject(1, "i", "ab"), subject(1, "ia", "b"), subject(1, "i", "a"), subject(2, "i", "ab"), client(1, 1)];
    for client in all {
        assert_eq!(admitted(&mut admission, ms(0), client, 30), (10, Some(By::Client(10))), "{client:?}");
    }
    assert_eq!(admitted(&mut admission, ms(0), subject(1, "i", "ab"), 1).0, 0);
}

#[test]
fn a_refusal_names_the_limit_and_the_time_and_every_answer_says_what_is_left() {
    let mut admission = limited(2, 0);
    let standing = admission.ask(ms(0), client(1, 1), 1, Some(5)).unwrap();
    let (policy, state) = standing.fields().unwrap();
    assert_eq!(policy, "\"client\";q=2;w=1, \"tenant\";q=5;w=1", "a quota of the tenant is a limit");
    assert_eq!(state, "\"client\";r=1;t=1, \"tenant\";r=4;t=1");
    admission.ask(ms(0), client(1, 1), 4, Some(5)).unwrap();
    let refusal = admission.ask(ms(0), client(1, 1), 1, Some(5)).unwrap_err();
    assert_eq!((refusal.by, refusal.retry_after, refusal.retry_after_s()), (By::Client(2), ms(2_000), 2));
    assert_eq!(refusal.problem().status(), 429);
    assert_eq!(limited(0, 0).ask(ms(0), client(1, 1), 1, None).unwrap().fields(), None, "no limits, no fields");
}

#[test]
fn a_body_counts_by_its_size() {
    for (bytes, expected) in [(0, 1), (1, 1), (4_096, 1), (4_097, 2), (1 << 20, 256)] {
        assert_eq!(units(bytes), expected, "{bytes} bytes");
    }
    let mut admission = limited(10, 0);
    admission.ask(ms(0), client(1, 1), 1, None).unwrap();
    admission.add(ms(0), client(1, 1), 29, None);
    assert_eq!(admission.ask(ms(0), client(1, 1), 1, None).unwrap_err().retry_after, ms(2_100));
}

#[test]
fn failures_are_limited_by_address_and_leave_other_addresses_alone() {
    let mut admission = Admission::new(Limits { failures_per_second: 2, ..Limits::STANDARD });
    let address = |text: &str| Address::of(text.parse().unwrap());
    let guesser = address("2001:db8::1");
    assert_eq!((0..50).filter(|_| admission.failed(ms(0), guesser).is_ok()).count(), 20);
    assert_eq!(admission.may_check(ms(0), address("2001:db8::2")).unwrap_err().by, By::Address(2), "the same host");
    assert!(admission.may_check(ms(0), address("2001:db8:0:1::1")).is_ok());
    assert!(admission.may_check(ms(500), guesser).is_ok());
    assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
    assert_ne!(address("10.0.0.2"), address("10.0.0.1"));
}

#[test]
fn a_sender_that_ignores_refusals_is_found_out_and_forgiven() {
    let mut admission = limited(1, 0);
    let mut refusals =
        |now: Span| (0..200).filter_map(|_| admission.ask(now, client(1, 1), 1, None).err()).collect::<Vec<_>>();
    let first = refusals(ms(0));
    assert!(first[..99].iter().all(|refusal| refusal.late == ms(0)));
    let late: Vec<_> = first[100..].iter().map(|refusal| refusal.late.ns() / 100_000_000).collect();
    assert!((5..15).all(|tenth| late.iter().filter(|late| **late == tenth).count() >= 9), "evenly spread: {late:?}");
    assert_eq!(refusals(ms(3_000))[0].late, ms(0));
}

/// Asks for some requests of each client in each window, and says how many of them were admitted and by what the others were
/// refused in the last window.
fn play(
    admission: &mut Admission,
    windows: u64,
    demands: &[(Client, usize)],
    lag: Span,
    wait: Span,
) -> Vec<(usize, Option<By>)> {
    let mut last = Vec::new();
    for window in 0..windows {
        last = demands.iter().map(|_| (0, None)).collect();
        for step in 0..10 {
            for ((client, count), last) in demands.iter().zip(&mut last) {
                let now = ms(window * 100 + step * 10);
                let (got, refused) = admitted(admission, now, *client, count / 10);
                last.0 += got;
                last.1 = last.1.or(refused);
                (0..got).for_each(|_| admission.answered(client.tenant, 1));
            }
        }
        admission.end_window(ms(window * 100 + 100), WINDOW, lag, |_| wait);
    }
    last
}

#[test]
fn during_an_overload_light_clients_get_all_and_the_heavy_ones_the_same_share() {
    let mut admission = limited(0, 0);
    let demands = [(client(1, 1), 1_000), (client(2, 1), 1_000), (client(3, 1), 10)];
    let played = play(&mut admission, 30, &demands, ms(200), ms(0));
    let limit = admission.limit().expect("an overload");
    assert_eq!(played[2], (10, None), "a light client is never refused");
    assert!(matches!(played[0].1, Some(By::Share(_))) && played[0].0.abs_diff(played[1].0) <= 2, "{played:?}");
    let per_second: usize = played.iter().map(|(got, _)| got * 10).sum();
    assert!(per_second as u64 <= limit * 11 / 10 + 40, "{per_second} admitted of {limit}: {played:?}");
}

#[test]
fn the_many_clients_of_one_tenant_share_what_one_client_of_another_gets() {
    let mut admission = limited(0, 0);
    let mut demands: Vec<_> = (0..10).map(|number| (client(1, number), 200)).collect();
    demands.push((client(2, 1), 2_000));
    let played = play(&mut admission, 10, &demands, ms(200), ms(0));
    let (all, one) = (played[..10].iter().map(|(got, _)| got).sum::<usize>(), played[10].0);
    assert!(one < 1_500 && all.abs_diff(one) * 5 < one, "{all} and {one}");
}

#[test]
fn a_slow_engine_limits_its_own_tenant_only() {
    let mut admission = limited(0, 0);
    let demands = [(client(1, 1), 500), (client(2, 1), 500)];
    let waits = |admission: &mut Admission, wait: Span| {
        for window in 0..10 {
            let now = ms(window * 100);
            for (client, count) in demands {
                let (got, _) = admitted(admission, now, client, count);
                (0..got).for_each(|_| admission.answered(client.tenant, 1));
            }
            admission.end_window(now, WINDOW, ms(0), |tenant| if tenant == TenantId::new(1) { wait } else { ms(0) });
        }
    };
    waits(&mut admission, ms(300));
    assert!(admission.limit_of(TenantId::new(1)).is_some());
    assert_eq!((admission.limit_of(TenantId::new(2)), admission.limit()), (None, None));
    let (got, refused) = admitted(&mut admission, ms(1_000), client(1, 1), 500);
    assert!(got < 400, "{got} of 500");
    assert_eq!(refused, Some(By::Server), "nobody else of the tenant asks for anything");
    assert_eq!(admitted(&mut admission, ms(1_000), client(2, 1), 500), (500, None));
}

#[test]
fn an_overload_leaves_nothing_behind() {
    let mut admission = limited(0, 0);
    let demands = [(client(1, 1), 1_000), (client(2, 1), 10)];
    assert_eq!(play(&mut admission, 10, &demands, ms(0), ms(0)), [(1_000, None), (10, None)]);
    let during = play(&mut admission, 10, &demands, ms(200), ms(200));
    assert!(during[0].0 < 1_000, "{during:?}");
    assert_eq!(play(&mut admission, 60, &demands, ms(0), ms(0)), [(1_000, None), (10, None)]);
    assert!(!admission.is_calm());
    play(&mut admission, 40, &[], ms(0), ms(0));
    (0..20).for_each(|later| admission.end_window(ms(60_000 + later * 100), WINDOW, ms(0), |_| ms(0)));
    assert!(admission.is_calm(), "{admission:?}");
}

#[test]
fn clients_beyond_the_bound_share_one_limit() {
    let mut admission = limited(10, 0);
    for number in 0..CLIENTS_MAX as u64 {
        assert!(admission.ask(ms(0), client(1, number), 1, None).is_ok());
    }
    let (more, most) = (CLIENTS_MAX as u64, CLIENTS_MAX as u64 + 100);
    let got = (more..most).filter(|number| admission.ask(ms(0), client(1, *number), 1, None).is_ok()).count();
    assert_eq!((got, admission.clients.len()), (10, CLIENTS_MAX));
    (0..20).for_each(|later| admission.end_window(ms(1_000 + later * 100), WINDOW, ms(0), |_| ms(0)));
    assert_eq!(admission.clients.len(), 0);
}
