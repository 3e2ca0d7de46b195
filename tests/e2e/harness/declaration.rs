//! What tests declare: a ManagedResource and its Secret.
use serde_json::{Value, json};

use super::Test;

/// A ManagedResource with one Secret of the same name. Awaited, both are written and all is applied.
#[must_use = "nothing is written until it is awaited"]
pub struct Declaration<'a> {
    test: &'a Test,
    name: &'a str,
    manifests: &'a str,
    spec: Value,
}

impl Test {
    /// `test.declare("mr", &manifests).mode("Off").await` returns when all is applied.
    pub fn declare<'a>(&'a self, name: &'a str, manifests: &'a str) -> Declaration<'a> {
        Declaration { test: self, name, manifests, spec: json!({}) }
    }
}

impl Declaration<'_> {
    /// `spec.protection.mode`. `Off` lets edits pass the webhook, so that the controller has to find them.
    pub fn mode(self, mode: &str) -> Self {
        self.protection("mode", mode)
    }

    /// `spec.protection.scope`.
    pub fn scope(self, scope: &str) -> Self {
        self.protection("scope", scope)
    }

    /// `spec.protection.repair`.
    pub fn repair(self, repair: &str) -> Self {
        self.protection("repair", repair)
    }

    /// `spec.protection.ignorePaths`, for all objects.
    pub fn ignore_paths(self, paths: &[&str]) -> Self {
        self.protection("ignorePaths", paths.iter().map(|path| json!({"path": path})).collect::<Value>())
    }

    /// Another field of `spec.protection`.
    pub fn protection(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.spec["protection"][field] = value.into();
        self
    }

    /// `spec.class`.
    pub fn class(self, class: &str) -> Self {
        self.with("class", class)
    }

    /// Another field of the spec.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.spec[field] = value.into();
        self
    }

    /// Writes Secret and ManagedResource, and does not wait.
    pub async fn write(self) {
        self.test.secret(self.name, self.manifests).await;
        self.test.mr(self.name, &[self.name], self.spec).await;
    }
}

impl<'a> IntoFuture for Declaration<'a> {
    type Output = ();
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async {
            let (test, name) = (self.test, self.name);
            self.write().await;
            test.applied(name).await;
        })
    }
}
