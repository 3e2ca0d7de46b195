//! With whom the Lease goes.

use kube::api::ObjectMeta;
use serde_json::json;

use super::*;

fn owner(uid: &str) -> Option<Owner> {
    Owner::of("system:serviceaccount:garden:controller", uid, "garden", "ours/1")
}

/// Of a Lease that this field manager holds, with an owner of ours from before.
fn metadata(manager: &str) -> ObjectMeta {
    let owner = json!({"apiVersion": "v1", "kind": "ServiceAccount", "name": "controller", "uid": "former"});
    let entry = json!({"manager": manager, "fieldsV1": {"f:spec": {"f:holderIdentity": {}}}});
    serde_json::from_value(json!({"managedFields": [entry], "ownerReferences": [owner]})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_we_make_is_owned() {
    let lease = FakeLease::default();
    let one = Replica::owned(&lease, "one", owner("now"));
    one.leadership.wait().await.unwrap();
    assert_eq!(lease.owners(), ["now"]);
    // Nor does a release change that.
    one.shut_down().await;
    assert_eq!((lease.owners(), lease.record().holder), (vec!["now".to_owned()], String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_a_former_installation_is_adopted_in_the_write_that_takes_it() {
    let lease = FakeLease::default();
    lease.put_metadata(metadata("ours"));
    let one = Replica::owned(&lease, "one", owner("now"));
    one.leadership.wait().await.unwrap();
    assert_eq!((lease.owners(), lease.calls()), (vec!["now".to_owned()], vec!["get", "replace"]));
    one.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn where_owners_may_not_be_changed_the_lease_is_taken_without() {
    let lease = FakeLease::default();
    lease.put_metadata(metadata("ours"));
    lease.fail(&[Fault::Fine, Fault::Code(403)]);
    let one = Replica::owned(&lease, "one", owner("now"));
    let begin = Instant::now();
    one.leadership.wait().await.unwrap();
    assert_eq!(lease.owners(), ["former"]);
    assert!(begin.elapsed() < SETTINGS.retry_period * 2, "{:?}", begin.elapsed());
    one.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_program_holds_loses_our_owner_and_nothing_else() {
    let lease = FakeLease::default();
    lease.put_metadata(metadata("theirs"));
    let duration = Some(Duration::from_secs(15));
    let theirs = Record { holder: "theirs".to_owned(), duration, ..Record::default() };
    lease.put(&theirs);
    let one = Replica::owned(&lease, "one", owner("now"));
    sleep(SETTINGS.retry_period * 3).await;
    assert_eq!((lease.owners(), lease.record(), one.leads()), (vec![], theirs, false));
    assert_eq!(lease.calls().iter().filter(|call| **call == "replace").count(), 1);
    // It was abandoned: ours to take, but it does not become ours to be deleted.
    one.leadership.wait().await.unwrap();
    assert_eq!(lease.owners(), Vec::<String>::new());
    one.shut_down().await;
}
