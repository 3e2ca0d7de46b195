//! Tracks which workloads HorizontalPodAutoscalers scale.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::{
    field_ownership::preserve,
    key::{NamespacedName, ObjectKey},
};

/// How long a deleted autoscaler still counts. It may be about to be replaced, and the replicas must not jump
/// meanwhile.
pub const GRACE: Duration = Duration::from_secs(15);

/// The target of an autoscaler, `spec.scaleTargetRef`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleTargetRef {
    /// Group and version. The version does not matter.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name, in the autoscaler's namespace.
    pub name: String,
}

/// Returns the target workload. Returns `None` for an invalid reference, or a kind whose autoscalers Holdfast does not
/// respect. Such an autoscaler has no effect.
pub fn target(namespace: &str, reference: &ScaleTargetRef) -> Option<ObjectKey> {
    let (group, version) = reference.api_version.split_once('/')?;
    let is_readable = !version.contains('/');
    let target = common(ObjectKey::new(group, &reference.kind, namespace, &reference.name));
    (is_readable && preserve::is_scaled(&target)).then_some(target)
}

/// Maps equivalent kinds to one of them (`equivalence`).
fn common(object: ObjectKey) -> ObjectKey {
    if object.group() == "extensions" {
        ObjectKey::new("apps", object.kind(), object.namespace(), object.name())
    } else {
        object
    }
}

/// The known autoscalers of a cluster. Times count from any fixed moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Autoscalers {
    targets: BTreeMap<NamespacedName, ObjectKey>,
    /// Per workload: how many autoscalers scale it, and until when it still counts as scaled if none does.
    scaled: BTreeMap<ObjectKey, (usize, Duration)>,
}

impl Autoscalers {
    /// Whether an autoscaler scales a workload.
    pub fn scales(&self, object: &ObjectKey) -> bool {
        preserve::is_scaled(object) && self.scaled.contains_key(&common(object.clone()))
    }

    /// Records an autoscaler. `target` is `None` if it is gone or scales no relevant workload. Returns the workload if
    /// it becomes scaled by this.
    pub fn set(&mut self, name: &NamespacedName, target: Option<ObjectKey>, now: Duration) -> Option<ObjectKey> {
        let before = self.targets.get(name);
        if before == target.as_ref() {
            return None;
        }
        if let Some(old) = self.targets.remove(name)
            && let Some((count, until)) = self.scaled.get_mut(&old)
        {
            *count = count.saturating_sub(1);
            *until = now + GRACE;
        }
        let target = target?;
        self.targets.insert(name.clone(), target.clone());
        let is_new = !self.scaled.contains_key(&target);
        self.scaled.entry(target.clone()).or_default().0 += 1;
        is_new.then_some(target)
    }

    /// Returns the names of all known autoscalers.
    pub fn names(&self) -> impl Iterator<Item = &NamespacedName> {
        self.targets.keys()
    }

    /// Returns and forgets the workloads that no longer count as scaled.
    pub fn expire(&mut self, now: Duration) -> Vec<ObjectKey> {
        let is_over = |(_, (count, until)): &(&ObjectKey, &(usize, Duration))| *count == 0 && *until <= now;
        let over: Vec<ObjectKey> = self.scaled.iter().filter(is_over).map(|(object, _)| object.clone()).collect();
        for object in &over {
            self.scaled.remove(object);
        }
        over
    }

    /// Returns when [`Self::expire`] is next due.
    pub fn next(&self) -> Option<Duration> {
        self.scaled.values().filter(|(count, _)| *count == 0).map(|(_, until)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(api_version: &str, kind: &str) -> ScaleTargetRef {
        ScaleTargetRef { api_version: api_version.into(), kind: kind.into(), name: "web".into() }
    }

    fn web(group: &str) -> ObjectKey {
        ObjectKey::new(group, "Deployment", "n", "web")
    }

    #[test]
    fn only_workloads_of_concern_are_scaled_and_bad_references_are_skipped() {
        for (api_version, kind, is_heeded) in [
            ("apps/v1", "Deployment", true),
            ("extensions/v1beta1", "Deployment", true),
            ("apps/v9", "StatefulSet", true),
            ("apps/v1/x", "Deployment", false),
            ("", "Deployment", false),
            ("v1", "Deployment", false),
            ("apps/v1", "ReplicaSet", false),
            ("example.com/v1", "Deployment", false),
        ] {
            assert_eq!(target("n", &reference(api_version, kind)).is_some(), is_heeded, "{api_version} {kind}");
        }
    }

    #[test]
    fn an_autoscaler_that_is_replaced_counts_all_the_time() {
        let (a, b) = (NamespacedName::new("n", "a"), NamespacedName::new("n", "b"));
        let (mut all, second) = (Autoscalers::default(), Duration::from_secs(1));
        let target = || target("n", &reference("apps/v1", "Deployment"));
        assert_eq!(all.set(&a, target(), second), Some(web("apps")));
        assert!(all.scales(&web("apps")) && all.scales(&web("extensions")) && !all.scales(&web("x")));
        assert_eq!(all.set(&a, None, second), None);
        assert!(all.scales(&web("apps")));
        assert_eq!(all.next(), Some(second + GRACE));
        assert_eq!(all.set(&b, target(), second * 2), None, "it counted all the time");
        assert_eq!((all.next(), all.expire(second + GRACE)), (None, vec![]));
        assert_eq!(all.set(&b, None, second * 3), None);
        assert_eq!(all.expire(second * 3 + GRACE), [web("apps")]);
        assert_eq!(all, Autoscalers::default());
    }
}
