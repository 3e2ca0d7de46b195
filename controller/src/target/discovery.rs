//! What the target serves, asked again when a kind is unknown.

mod existence;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_core::{
    key::Gvk,
    manifest::discovery::{ApiInfo, Discovery},
};
use holdfast_runtime::call::{CallError, call, explain};
use kube::{
    Client,
    core::discovery::v2::{APIGroupDiscovery, APIGroupDiscoveryList, APIResourceDiscovery, APIVersionDiscovery},
};
use tokio::time::Instant;

use existence::Answers;

/// Kinds are not asked for more often than this, however many are unknown.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// Discovery of a cluster with many CRDs takes a while.
const LIMIT: Duration = Duration::from_secs(20);

/// The latest snapshot. Its number grows with each new one that differs.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The kinds.
    pub kinds: Arc<Discovery>,
    /// Number of the snapshot; 0 before the first.
    pub number: u64,
}

/// When the server was asked last, and how that failed.
struct Attempt {
    at: Instant,
    failed: Option<CallError>,
}

/// Holds the latest snapshot.
pub struct Discoverer {
    client: Client,
    latest: Mutex<Snapshot>,
    refreshing: tokio::sync::Mutex<Option<Attempt>>,
    answers: Answers,
}

impl Discoverer {
    /// Knows nothing yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            latest: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            answers: Answers::default(),
        }
    }

    /// The latest snapshot; asks the server if there is none.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn current(&self) -> Result<Snapshot, CallError> {
        let latest = self.latest();
        if latest.number > 0 { Ok(latest) } else { self.refresh().await }
    }

    /// Asks the server, unless it was asked a moment ago.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn refresh(&self) -> Result<Snapshot, CallError> {
        let mut last = self.refreshing.lock().await;
        if let Some(attempt) = last.as_ref().filter(|attempt| attempt.at.elapsed() < MIN_INTERVAL) {
            // Passes that have waited for each other get the same answer, or each would wait as long as the one before.
            match attempt.failed.as_ref().map(again) {
                None => return Ok(self.latest()),
                Some(Some(error)) => return Err(error),
                Some(None) => {}
            }
        }
        self.ask(&mut last).await
    }

    /// Asks the server now: a kind was added just before.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn refresh_now(&self) -> Result<Snapshot, CallError> {
        let mut last = self.refreshing.lock().await;
        self.ask(&mut last).await
    }

    async fn ask(&self, last: &mut Option<Attempt>) -> Result<Snapshot, CallError> {
        let result = self.discover().await;
        let at = Instant::now();
        *last = match &result {
            Ok(_) => Some(Attempt { at, failed: None }),
            Err(error) => again(error).map(|failed| Attempt { at, failed: Some(failed) }),
        };
        result
    }

    async fn discover(&self) -> Result<Snapshot, CallError> {
        let lists = async {
            let groups = self.client.list_api_groups_aggregated().await?;
            Ok([self.client.list_core_api_versions_aggregated().await?, groups])
        };
        let kinds = kinds(call(LIMIT, "discover what the target cluster serves", lists).await?);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if *latest.kinds != kinds {
            *latest = Snapshot { kinds: Arc::new(kinds), number: latest.number + 1 };
        }
        Ok(latest.clone())
    }

    fn latest(&self) -> Snapshot {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The same error for somebody else; `None` for those that mean more than their words.
fn again(error: &CallError) -> Option<CallError> {
    let (what, cause) = match error {
        CallError::TimedOut { what, limit } => {
            return Some(CallError::TimedOut { what: what.clone(), limit: *limit });
        }
        CallError::Failed { what, cause } => (what.clone(), cause),
    };
    let cause = match cause {
        kube::Error::Api(status) => kube::Error::Api(status.clone()),
        _ if error.deferred().is_some() => error.deferred().cloned().map(Into::into)?,
        cause if error.is_transient() => kube::Error::Service(explain(cause).into()),
        _ => return None,
    };
    Some(CallError::Failed { what, cause })
}

/// kube makes a discovery of these lists, too, and leaves out which versions are stale.
fn kinds(lists: [APIGroupDiscoveryList; 2]) -> Discovery {
    let mut kinds = Discovery::default();
    for APIGroupDiscovery { metadata, mut versions } in lists.into_iter().flat_map(|list| list.items) {
        let group = metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        // In the order of preference, but what answers comes first.
        versions.sort_by_key(is_stale);
        for served in versions {
            let is_stale = is_stale(&served);
            let APIVersionDiscovery { version, resources, .. } = served;
            let version = version.unwrap_or_default();
            kinds.insert_version(&group, &version, is_stale);
            for resource in resources {
                // A stale version may have resources of which only the name is known.
                let kind = resource.response_kind.as_ref().and_then(|kind| kind.kind.clone());
                let Some(kind) = kind.filter(|kind| !kind.is_empty()) else { continue };
                let gvk = Gvk { group: group.clone(), version: version.clone(), kind };
                kinds.insert(gvk, info(resource));
            }
        }
    }
    kinds
}

fn is_stale(version: &APIVersionDiscovery) -> bool {
    version.freshness.as_deref() == Some("Stale")
}

fn info(resource: APIResourceDiscovery) -> ApiInfo {
    let subresources = resource.subresources.iter().filter_map(|subresource| subresource.subresource.as_deref());
    ApiInfo {
        status_subresource: { subresources }.any(|name| name == "status"),
        namespaced: resource.scope.as_deref() == Some("Namespaced"),
        missing_verbs: ApiInfo::missing_verbs(resource.verbs.iter().map(String::as_str)),
        plural: resource.resource.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::key::GroupKind;
    use serde_json::json;

    use super::*;

    fn timeout() -> CallError {
        CallError::TimedOut { what: "discover".into(), limit: LIMIT }
    }

    #[test]
    fn an_error_is_told_again_as_what_it_was() {
        let failed = |cause: kube::Error| CallError::Failed { what: "discover".into(), cause };
        let answer = |code: u16| {
            let status = kube::core::Status { code, message: "no".into(), ..kube::core::Status::default() };
            failed(kube::Error::Api(status.boxed()))
        };
        let io = |kind: std::io::ErrorKind| failed(kube::Error::Service(Box::new(std::io::Error::from(kind))));
        for error in [timeout(), answer(403), answer(503), io(std::io::ErrorKind::ConnectionRefused)] {
            let repeated = again(&error).unwrap();
            assert_eq!(repeated.to_string(), error.to_string());
            assert_eq!(repeated.is_transient(), error.is_transient(), "{error}");
            assert_eq!(repeated.is_forbidden(), error.is_forbidden(), "{error}");
            assert_eq!(again(&repeated).map(|error| error.to_string()), Some(error.to_string()));
        }
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let untrusted = failed(kube::Error::Service(Box::new(std::io::Error::other(untrusted))));
        assert!(again(&untrusted).is_none(), "it is asked again");
    }

    /// A server that does not answer is asked once, and not by each of those who wait in turn.
    #[tokio::test(start_paused = true)]
    async fn a_failure_is_an_answer_for_all_who_wait() {
        let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| async move {
            Err::<http::Response<kube::client::Body>, _>(refused())
        });
        let discoverer = Discoverer::new(Client::new(service, "default"));
        let begin = Instant::now();
        *discoverer.refreshing.lock().await = Some(Attempt { at: begin, failed: Some(timeout()) });
        for _ in 0..10 {
            let error = discoverer.current().await.unwrap_err();
            assert_eq!(error.to_string(), timeout().to_string());
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        tokio::time::advance(MIN_INTERVAL).await;
        let error = discoverer.current().await.unwrap_err().to_string();
        assert_ne!(error, timeout().to_string(), "asked again");
        let cached = discoverer
            .refreshing
            .lock()
            .await
            .as_ref()
            .and_then(|attempt| attempt.failed.as_ref().map(ToString::to_string));
        assert_eq!(cached, Some(error));
    }

    #[test]
    fn a_list_of_groups_is_read_with_what_is_stale() {
        let resource = |plural: &str, kind: &str, scope: &str, verbs: &[&str]| {
            json!({"resource": plural, "responseKind": {"kind": kind}, "scope": scope, "verbs": verbs,
                "subresources": [{"subresource": "status"}]})
        };
        let all = ["create", "delete", "get", "list", "patch", "watch"];
        let core = json!({"items": [{"metadata": {}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
            resource("configmaps", "ConfigMap", "Namespaced", &all), resource("bindings", "Binding", "Namespaced", &["create"]),
        ]}]}]});
        let groups = json!({"items": [
            {"metadata": {"name": "empty.example.com"}},
            {"metadata": {"name": "dead.example.com"}, "versions": [{"version": "v1", "freshness": "Stale"}]},
            {"metadata": {"name": "half.example.com"}, "versions": [
                {"version": "v2", "freshness": "Stale", "resources": [resource("parts", "Part", "Cluster", &all)]},
                {"version": "v1", "freshness": "Current", "resources": [resource("parts", "Part", "Cluster", &all)]},
            ]},
        ]});
        let served = kinds([core, groups].map(|list| serde_json::from_value(list).unwrap()));
        let part = GroupKind { group: "half.example.com".into(), kind: "Part".into() };
        assert_eq!(served.preferred(&part).unwrap().version, "v1", "what answers comes before what does not");
        let map = served.get(&Gvk::new("v1", "ConfigMap")).unwrap();
        assert!(map.namespaced && map.status_subresource && map.is_manageable());
        assert!(!served.get(&Gvk::new("v1", "Binding")).unwrap().is_manageable());
        assert!(!served.get(&Gvk::new("half.example.com/v1", "Part")).unwrap().namespaced);
    }
}
