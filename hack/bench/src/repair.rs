//! Edits and deletions, and how long they last.
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use holdfast_e2e::audit::Request;
use holdfast_runtime::api::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::json;

use super::declare::DECLARED;
use super::numbers::{millis, percentile};
use super::stage;
use super::watch::{Event, Watch, name};

/// An edit that lasts longer is not repaired.
const LIMIT: Duration = Duration::from_secs(60);
/// Edits and deletions of a burst at a time.
const WIDTH: usize = 8;

/// What somebody does to an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Harm {
    Edit,
    Deletion,
}

impl Harm {
    /// Does it. Returns when it was acknowledged.
    ///
    /// # Errors
    /// The API server refuses.
    pub(super) async fn inflict(self, api: &Api<DynamicObject>, name: &str) -> Result<Instant> {
        match self {
            Self::Edit => {
                let parameters = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
                let patch = json!({"data": {"value": "edited"}});
                let edited = api.patch_metadata(name, &parameters, &Patch::Merge(&patch)).await;
                edited.with_context(|| format!("edit {name}"))?;
            }
            Self::Deletion => {
                let deleted = api.delete(name, &DeleteParams::default()).await;
                deleted.with_context(|| format!("delete {name}"))?;
            }
        }
        Ok(Instant::now())
    }
}

/// Which objects are not as they should be, told by a watch of whole objects.
#[derive(Debug, Default)]
pub(super) struct Disturbed(BTreeSet<String>);

impl Disturbed {
    /// Takes in an event. Returns the name of an object that was not as declared and now is.
    pub(super) fn see(&mut self, event: Event<DynamicObject>) -> Option<String> {
        let (object, is_there) = match event {
            Event::There(object) => (object, true),
            Event::Gone(object) => (object, false),
        };
        let name = name(&object).to_owned();
        if is_there && object.data["data"]["value"] == DECLARED {
            return self.0.remove(&name).then_some(name);
        }
        self.0.insert(name);
        None
    }
}

/// Harms objects one after the other, each time with a pause of 20 to 120 ms after the repair. Returns the milliseconds from
/// the acknowledgement until the repaired state came out of a watch.
///
/// # Errors
/// One is not repaired within a minute.
pub(super) async fn one_by_one(
    api: &Api<DynamicObject>,
    harm: Harm,
    names: impl Iterator<Item = &String>,
    pause: impl Fn(usize) -> Duration,
) -> Result<Vec<f64>> {
    let mut watch = Watch::objects(api).await?;
    let mut disturbed = Disturbed::default();
    let mut times = Vec::new();
    for (number, name) in names.enumerate() {
        tokio::time::sleep(pause(number)).await;
        let acknowledged = harm.inflict(api, name).await?;
        let what = format!("{name} to be repaired");
        let (_, at) = watch.until(&what, LIMIT, |event| disturbed.see(event).filter(|seen| seen == name)).await?;
        times.push(millis(at.saturating_duration_since(acknowledged)));
    }
    Ok(times)
}

/// A pause that is never twice the same in a row, 20 to 120 ms, so that nothing gets into step.
pub(super) fn uneven(number: usize) -> Duration {
    Duration::from_millis(20 + u64::try_from(number * 37 % 101).unwrap_or_default())
}

/// Edits and deletes many objects at once, in turns. Returns the time from the last acknowledgement until all were repaired,
/// and how long the burst lasted.
///
/// # Errors
/// One is not repaired within a minute after the last.
pub(super) async fn burst(api: &Api<DynamicObject>, names: &[String]) -> Result<(Duration, Duration)> {
    let mut watch = Watch::objects(api).await?;
    let begun = Instant::now();
    let harms = names.iter().enumerate().map(|(number, name)| {
        let harm = if number % 2 == 0 { Harm::Edit } else { Harm::Deletion };
        harm.inflict(api, name)
    });
    let inflict = async { stream::iter(harms).buffer_unordered(WIDTH).try_collect::<Vec<Instant>>().await };
    let mut remaining: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut disturbed = Disturbed::default();
    let repaired = watch.until("the burst to be repaired", LIMIT, |event| {
        remaining.remove(disturbed.see(event)?.as_str());
        remaining.is_empty().then_some(())
    });
    let (acknowledged, ((), at)) = futures::try_join!(inflict, repaired)?;
    let last = acknowledged.into_iter().max().context("the burst is empty")?;
    Ok((at.saturating_duration_since(last), last - begun))
}

/// Makes sure that all objects are as declared.
///
/// # Errors
/// One is not.
pub(super) async fn check(api: &Api<DynamicObject>, names: &[String]) -> Result<()> {
    let list = api.list(&ListParams::default()).await.context("list the objects")?;
    let values: BTreeMap<&str, &serde_json::Value> =
        list.items.iter().map(|object| (name(object), &object.data["data"]["value"])).collect();
    for name in names {
        match values.get(name.as_str()) {
            Some(value) => ensure!(**value == DECLARED, "{name} was left edited"),
            None => bail!("{name} was left deleted"),
        }
    }
    Ok(())
}

/// Where the time goes, told by the API server: from its answer to the harm until the controller's apply comes in, and from
/// there to the answer.
pub(super) fn breakdown(requests: &[Request]) -> String {
    let mut harmed = BTreeMap::new();
    let (mut reactions, mut applies) = (Vec::new(), Vec::new());
    for request in requests.iter().filter(|request| request.resource == "configmaps" && request.is_write()) {
        if !stage::is_by_controller(request) {
            harmed.insert(request.name.as_str(), request.answered);
        } else if let Some(at) = harmed.remove(request.name.as_str()) {
            reactions.push(request.received.duration_since(at).as_millis_f64());
            applies.push(request.answered.duration_since(request.received).as_millis_f64());
        }
    }
    let middle = |values: &[f64]| format!("{:.1}", percentile(values, 50));
    format!("controller {}, apply {} of it", middle(&reactions), middle(&applies))
}
