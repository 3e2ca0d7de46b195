//! Asks the cluster who may begin a pause, and publishes Events about pauses.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holdfast_core::key::NamespacedName;
use holdfast_core::names;
use holdfast_runtime::api::Api;
use holdfast_runtime::call::call;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::PostParams;
use serde_json::Value;

use super::review::{Request, UserInfo};
use crate::events::{Events, Reason, Warning};

/// Shorter than the deadline of a review, so that its Secrets can still be checked.
const LIMIT: Duration = Duration::from_secs(1);

/// Access to pauses in the cluster of the ManagedResources.
pub trait PauseAccess: Send + Sync {
    /// Whether a user has the verb `override` on a ManagedResource; without a name, on any of its namespace. Errors are one
    /// line for the user.
    fn may_override<'a>(&'a self, user: &'a UserInfo, mr: &'a NamespacedName) -> BoxFuture<'a, Result<bool, String>>;

    /// Publishes an Event with this reason on the ManagedResource of a review. Does not wait.
    fn publish(&self, request: &Request, reason: Reason, note: String);
}

/// Asks by SubjectAccessReviews.
pub struct ClusterPauseAccess {
    /// For the cluster of the ManagedResources.
    pub client: Client,
    /// Events there.
    pub events: Events,
}

impl PauseAccess for ClusterPauseAccess {
    fn may_override<'a>(&'a self, user: &'a UserInfo, mr: &'a NamespacedName) -> BoxFuture<'a, Result<bool, String>> {
        async move {
            let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
            let (params, question) = (PostParams::default(), access_review(user, mr));
            let what = format!("ask whether {:?} may override {mr}", user.username);
            let answer = call(LIMIT, what, api.create(&params, &question)).await.map_err(|error| error.to_string())?;
            // No answer to a part of the question does not mean yes.
            Ok(answer.status.is_some_and(|status| status.allowed))
        }
        .boxed()
    }

    fn publish(&self, request: &Request, reason: Reason, note: String) {
        let uid = request.object.as_ref().and_then(|object| object.pointer("/metadata/uid"));
        let uid = uid.and_then(Value::as_str);
        let mr = NamespacedName::new(&request.namespace, request.object_name());
        self.events.publish_each(&mr, uid, Warning { reason, note });
    }
}

/// Names everything that an authorizer may look at.
fn access_review(user: &UserInfo, mr: &NamespacedName) -> SubjectAccessReview {
    let spec = SubjectAccessReviewSpec {
        user: Some(user.username.clone()),
        uid: user.uid.clone().filter(|uid| !uid.is_empty()),
        groups: user.groups.clone(),
        extra: user.extra.clone().map(BTreeMap::into_iter).map(Iterator::collect),
        resource_attributes: Some(ResourceAttributes {
            group: Some(names::GROUP.to_owned()),
            version: Some(names::VERSION.to_owned()),
            resource: Some(names::PLURAL.to_owned()),
            verb: Some(names::VERB_OVERRIDE.to_owned()),
            namespace: Some(mr.namespace.clone()),
            name: Some(mr.name.clone()).filter(|name| !name.is_empty()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    };
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_about_the_user_is_in_the_question() {
        let user: UserInfo = serde_json::from_value(json!({
            "username": "bob", "uid": "7", "groups": ["a", "b"], "extra": {"example.com/x": ["1", "2"]}
        }))
        .unwrap();
        let review = serde_json::to_value(access_review(&user, &NamespacedName::new("n", "m"))).unwrap();
        assert_eq!(
            review["spec"],
            json!({
                "user": "bob", "uid": "7", "groups": ["a", "b"], "extra": {"example.com/x": ["1", "2"]},
                "resourceAttributes": {"group": "resources.gardener.cloud", "version": "v1alpha1",
                    "resource": "managedresources", "verb": "override", "namespace": "n", "name": "m"}
            })
        );
        let review = serde_json::to_value(access_review(&UserInfo::default(), &NamespacedName::new("n", ""))).unwrap();
        assert_eq!(review["spec"]["resourceAttributes"].get("name"), None, "any");
    }
}
