//! What is made is usable, and what is not usable is noticed.

use std::collections::BTreeMap;

use holdfast_webhook::certificates::{Finding, Issued, Lifetimes, inspect, issue, renew, service_names};
use jiff::{SignedDuration, Timestamp};

type Data = BTreeMap<String, Vec<u8>>;

fn names() -> Vec<String> {
    service_names("holdfast-webhook", "holdfast-system")
}

fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(days * 24)
}

fn data(issued: &Issued) -> Data {
    [
        ("ca.crt", &issued.authority),
        ("ca.key", &issued.authority_key),
        ("tls.crt", &issued.leaf),
        ("tls.key", &issued.leaf_key),
    ]
    .into_iter()
    .map(|(key, pem)| (key.to_owned(), pem.clone().into_bytes()))
    .collect()
}

fn with(data: &Data, key: &str, value: Option<&[u8]>) -> Data {
    let mut data = data.clone();
    match value {
        Some(value) => data.insert(key.to_owned(), value.to_vec()),
        None => data.remove(key),
    };
    data
}

fn verdict(data: &Data, names: &[String], now: Timestamp) -> String {
    match inspect(data, names, now) {
        Finding::Good(_) => "good".to_owned(),
        Finding::Renew { why, .. } => format!("renew: {why}"),
        Finding::Replace(why) => format!("replace: {why}"),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_way_to_be_unusable_is_noticed() {
    let ours = data(&issue(&names(), Lifetimes::default(), start()).unwrap());
    let theirs = data(&issue(&names(), Lifetimes::default(), start()).unwrap());
    let other_names = service_names("holdfast-webhook", "elsewhere");
    let bytes = |data: &Data, key: &str| data[key].clone();
    let equal = data(&issue(&names(), Lifetimes { authority: days(90), leaf: days(90) }, start()).unwrap());
    let both = [bytes(&theirs, "ca.crt"), bytes(&ours, "ca.crt")].concat();
    for (case, data, names, now, expected) in [
        ("fresh", ours.clone(), names(), start(), "good"),
        ("clock behind", ours.clone(), names(), start() - SignedDuration::from_mins(30), "good"),
        ("two thirds nearly over", ours.clone(), names(), start() + days(240), "good"),
        (
            "two thirds over",
            ours.clone(),
            names(),
            start() + days(245),
            "renew: tls.crt is in the last third of its life",
        ),
        ("over", ours.clone(), names(), start() + days(400), "renew: clients would refuse the certificate"),
        ("CA aging", ours.clone(), names(), start() + days(7 * 365), "replace: clients would refuse the certificate"),
        (
            "CA as old as the leaf",
            equal,
            names(),
            start() + days(61),
            "replace: ca.crt is in the last third of its life",
        ),
        ("clock two days behind", ours.clone(), names(), start() - days(2), "replace: clients would refuse"),
        ("a new CA beside ours", with(&ours, "ca.crt", Some(&both)), names(), start(), "good"),
        (
            "other namespace",
            ours.clone(),
            other_names,
            start(),
            "renew: clients would refuse the certificate for holdfast-webhook.elsewhere.svc",
        ),
        ("empty", Data::new(), names(), start(), "replace: ca.crt is missing or is not in PEM"),
        (
            "garbage CA",
            with(&ours, "ca.crt", Some(b"x")),
            names(),
            start(),
            "replace: ca.crt is missing or is not in PEM",
        ),
        (
            "garbage leaf",
            with(&ours, "tls.crt", Some(b"\xff")),
            names(),
            start(),
            "renew: tls.crt is missing or is not in PEM",
        ),
        ("no key", with(&ours, "tls.key", None), names(), start(), "renew: tls.key is missing or is not in PEM"),
        (
            "other key",
            with(&ours, "tls.key", Some(&bytes(&theirs, "tls.key"))),
            names(),
            start(),
            "renew: tls.key does not belong to its certificate",
        ),
        (
            "other CA",
            with(&ours, "ca.crt", Some(&bytes(&theirs, "ca.crt"))),
            names(),
            start(),
            "replace: clients would refuse the certificate",
        ),
        ("no CA key, leaf good", with(&ours, "ca.key", None), names(), start(), "good"),
        (
            "no CA key, leaf aging",
            with(&ours, "ca.key", None),
            names(),
            start() + days(245),
            "replace: tls.crt is in the last third",
        ),
    ] {
        let found = verdict(&data, &names, now);
        assert!(found.starts_with(expected), "{case}: {found}");
    }
}

#[test]
fn a_renewed_certificate_is_trusted_through_the_old_ca() {
    let first = issue(&names(), Lifetimes::default(), start()).unwrap();
    let later = start() + days(300);
    let Finding::Renew { authority, authority_key, .. } = inspect(&data(&first), &names(), later) else { panic!() };
    let second = renew(&authority, &authority_key, &names(), Lifetimes::default(), later).unwrap();
    assert_eq!(second.authority, first.authority, "clients need to learn nothing");
    let (Finding::Good(old), Finding::Good(new)) =
        (inspect(&data(&first), &names(), start()), inspect(&data(&second), &names(), later))
    else {
        panic!()
    };
    assert_ne!(old.fingerprint, new.fingerprint);
    assert!(new.expires > old.expires);
}

#[test]
fn lifetimes_of_seconds_have_their_time() {
    let seconds = SignedDuration::from_secs;
    let lifetimes = Lifetimes { authority: seconds(60), leaf: seconds(24) };
    let issued = issue(&names(), lifetimes, start()).unwrap();
    let at = |after| verdict(&data(&issued), &names(), start() + seconds(after));
    assert_eq!((at(0).as_str(), at(15).as_str()), ("good", "good"));
    assert!(at(17).starts_with("renew: tls.crt is in the last third"), "{}", at(17));
    // A leaf does not outlive its CA.
    let late = renew(&issued.authority, &issued.authority_key, &names(), lifetimes, start() + seconds(50)).unwrap();
    let read = holdfast_webhook::certificates::read(&data(&late), &names(), start() + seconds(51)).unwrap();
    assert_eq!((read.expires, read.authority_expires), (start() + seconds(60), start() + seconds(60)));
}

#[test]
fn addresses_are_names_too() {
    let names = holdfast_webhook::certificates::server_names::names("w", "n", Some("https://127.0.0.1:9443")).unwrap();
    let issued = issue(&names, Lifetimes::default(), start()).unwrap();
    assert_eq!(verdict(&data(&issued), &names, start()), "good");
}
