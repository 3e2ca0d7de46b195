//! Every number of replicas that a Deployment ever had.
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use holdfast_runtime::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{core::ApiResource, core::DynamicObject, core::GroupVersionKind};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::Test;

/// Watches until it is dropped. Two equal numbers in a row count once.
pub struct Recorder {
    seen: Arc<Mutex<Vec<i64>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Returns when it has seen the present number.
    pub async fn start(test: &Test, name: &str) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
        let api: Api<DynamicObject> = Api::namespaced_with(test.client.clone(), &test.ns, &resource);
        let seen: Arc<Mutex<Vec<i64>>> = Arc::default();
        let (record, fields) = (Arc::clone(&seen), format!("metadata.name={name}"));
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api.collection(), watcher::Config::default().fields(&fields)));
            while let Some(event) = events.next().await {
                let Ok(Event::Apply(object) | Event::InitApply(object)) = event else { continue };
                let replicas = object.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(-1);
                let mut seen = record.lock().expect("no other thread has panicked");
                if seen.last() != Some(&replicas) {
                    seen.push(replicas);
                }
            }
        });
        let recorder = Self { seen, task };
        test.eventually("the first number of replicas", || async {
            if recorder.seen().is_empty() { Err("none yet") } else { Ok(()) }.map_err(str::to_owned)
        })
        .await;
        recorder
    }

    pub fn seen(&self) -> Vec<i64> {
        self.seen.lock().expect("no other thread has panicked").clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
