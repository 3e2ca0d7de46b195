//! What is said when the release is uninstalled: which ManagedResources keep our finalizer, which nobody removes then.
//!
//! These are words only: whatever goes wrong is said, and is no error, since an uninstall must not fail because of it.

use std::{ffi::OsString, io::Write as _, time::Duration};

use holdfast_core::{
    key::{Gvk, NamespacedName},
    names,
};
use holdfast_runtime::{
    call::{CallError, call},
    settings::SettingsError,
    traffic::Traffic,
};
use kube::{Client, api::ListParams, core::ObjectList};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    config::Args,
    setup::USER_AGENT,
    target::partial_object::{self, PartialObject},
    watch::managed_resources,
};

/// As on the command line.
const FLAG: &str = "--finalizer-notice";
/// For everything together: the Job of the chart has 30 s, with the start of its pod.
const LIMIT: Duration = Duration::from_secs(10);
/// After an answer that says that a later one may be better. A pod that has just started may have no network yet.
const PAUSE: Duration = Duration::from_secs(1);
/// Objects in an answer.
const PAGE: u32 = 500;
/// ManagedResources that are named.
const NAMED: usize = 10;
/// What finalizers mean and what to do about them. Without double quotes and line breaks, which Helm would show escaped.
/// kubectl takes a patch for YAML unless it begins with a brace.
const CONSEQUENCES: &str = "Nobody removes it while Holdfast is not installed: ManagedResources and their objects stay, and who \
    deletes such a ManagedResource, or its namespace, waits. To be rid of both (objects stay if spec.keepObjects is true), \
    install Holdfast again and run, before the next uninstall: `kubectl delete managedresources WHICH`. To let one go and \
    leave its objects: `kubectl patch managedresource -n NAMESPACE NAME --type=merge -p 'metadata: {finalizers: null}'`.";

/// Whether the command line asks for the notice; also one that is not usable otherwise.
pub fn is_requested(arguments: impl IntoIterator<Item = OsString>) -> bool {
    arguments.into_iter().any(|argument| argument == FLAG)
}

/// Prints the notice where the settings cannot be used.
pub fn print_without_settings(error: &SettingsError) {
    print(&Found { doubts: vec![error.to_string()], ..Found::default() }, names::FINALIZER);
}

/// Looks for ManagedResources in the scope and of the class of `args` and prints the notice. Takes a little more than 10 s
/// at most.
pub async fn look_and_print(args: &Args) {
    let finalizer = names::finalizer_for(&args.class);
    print(&look(args, &finalizer).await, &finalizer);
}

fn print(found: &Found, finalizer: &str) {
    // Nothing can be done about a closed standard output.
    let _ = std::io::stdout().write_all(text(found, finalizer).as_bytes());
}

/// What was found.
#[derive(Debug)]
struct Found {
    /// ManagedResources that keep our finalizer.
    keys: Vec<NamespacedName>,
    /// There are, or may be, ManagedResources that do not.
    has_foreign: bool,
    /// Whether the API server knows the kind.
    is_served: bool,
    /// Why there may be more of both.
    doubts: Vec<String>,
}

impl Default for Found {
    fn default() -> Self {
        Self { keys: vec![], has_foreign: false, is_served: true, doubts: vec![] }
    }
}

async fn look(args: &Args, finalizer: &str) -> Found {
    let deadline = Instant::now() + LIMIT;
    let has_foreign = args.source_namespaces.iter().any(|name| !name.is_empty());
    let mut found = Found { has_foreign, ..Found::default() };
    let client = match timeout(LIMIT, connect(args)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Found { doubts: vec![format!("{error:#}")], ..found },
        Err(_) => return Found { doubts: vec!["there are no credentials yet".to_owned()], ..found },
    };
    for namespace in managed_resources::scopes(&args.source_namespaces) {
        match list(&client, namespace.as_deref().unwrap_or_default(), finalizer, deadline, &mut found).await {
            Err(error) if error.is_not_served() => found.is_served = false,
            Err(error) => found.doubts.push(error.to_string()),
            Ok(()) => {}
        }
    }
    found
}

async fn connect(args: &Args) -> anyhow::Result<Client> {
    Ok(args.source.cluster(USER_AGENT, &Traffic::default()).await?.client()?)
}

/// Adds what is in a namespace, or in all if it has no name.
async fn list(
    client: &Client,
    namespace: &str,
    finalizer: &str,
    deadline: Instant,
    found: &mut Found,
) -> Result<(), CallError> {
    let mut next = None;
    loop {
        let page = ListParams { limit: Some(PAGE), continue_token: next, ..ListParams::default() };
        let list = answer(client, namespace, &page, deadline).await?;
        for PartialObject { metadata } in list.items {
            if metadata.finalizers.is_some_and(|all| all.iter().any(|each| each == finalizer)) {
                let (namespace, name) = (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default());
                found.keys.push(NamespacedName { namespace, name });
            } else {
                found.has_foreign = true;
            }
        }
        next = list.metadata.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(());
        }
    }
}

/// One page; asks again, up to the deadline, while that may help.
async fn answer(
    client: &Client,
    namespace: &str,
    page: &ListParams,
    deadline: Instant,
) -> Result<ObjectList<PartialObject>, CallError> {
    let kind = Gvk::new(&format!("{}/{}", names::GROUP, names::VERSION), "ManagedResource");
    let api = partial_object::api::<PartialObject>(client, &kind, names::PLURAL, namespace);
    loop {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let place = if namespace.is_empty() { String::new() } else { format!(" in {namespace}") };
        match call(remaining, format!("list ManagedResources{place}"), api.list(page)).await {
            Err(error) if error.is_transient() && Instant::now() + PAUSE < deadline => sleep(PAUSE).await,
            result => return result,
        }
    }
}

/// The notice, in one line, as Helm makes one record of its log of it. It names a command that is about all ManagedResources
/// only if all are ours.
fn text(found: &Found, finalizer: &str) -> String {
    let Found { keys, has_foreign, is_served, doubts } = found;
    let mut sentences = Vec::new();
    if !is_served {
        sentences.push("The API server serves no ManagedResources.".to_owned());
    }
    let mut named: Vec<String> = keys.iter().take(NAMED).map(ToString::to_string).collect();
    if keys.len() > NAMED {
        named.push(format!("and {} more", keys.len() - NAMED));
    }
    let named = named.join(", ");
    sentences.push(match keys.len() {
        0 if doubts.is_empty() => format!("No ManagedResource keeps the finalizer {finalizer}."),
        0 => format!("There may be ManagedResources that keep the finalizer {finalizer}."),
        1 => format!("1 ManagedResource keeps the finalizer {finalizer}: {named}."),
        count => format!("{count} ManagedResources keep the finalizer {finalizer}: {named}."),
    });
    sentences.extend(doubts.iter().map(|why| format!("Not all could be seen: {}.", one_line(why))));
    if !keys.is_empty() || !doubts.is_empty() {
        let which = if *has_foreign || !doubts.is_empty() { "-n NAMESPACE NAME" } else { "-A --all" };
        sentences.push(CONSEQUENCES.replace("WHICH", which));
    }
    sentences.join(" ") + "\n"
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(count: usize) -> Found {
        let keys = (1..=count).map(|number| NamespacedName::new("default", format!("mr-{number:02}"))).collect();
        Found { keys, ..Found::default() }
    }

    #[test]
    fn the_notice_counts_names_and_says_what_to_do() {
        let (all, one) =
            ("`kubectl delete managedresources -A --all`", "`kubectl delete managedresources -n NAMESPACE NAME`");
        let doubts = vec!["list ManagedResources in b: it is\nforbidden".to_owned()];
        let cases: [(&str, Found, &[&str], &[&str]); 7] = [
            ("none", found(0), &["No ManagedResource keeps the finalizer F.\n"], &["kubectl", "Not all", "serves no"]),
            (
                "no kind",
                Found { is_served: false, ..found(0) },
                &["serves no ManagedResources. No ManagedResource keeps the finalizer F.\n"],
                &["kubectl"],
            ),
            (
                "one",
                found(1),
                &[
                    "1 ManagedResource keeps the finalizer F: default/mr-01. Nobody",
                    all,
                    "-p 'metadata: {finalizers: null}'`.\n",
                ],
                &["more", "Not all"],
            ),
            (
                "ten",
                found(10),
                &["10 ManagedResources keep the finalizer F: default/mr-01, ", ", default/mr-10. ", all],
                &["more"],
            ),
            ("many", found(12), &["12 ManagedResources keep", ", default/mr-10, and 2 more. ", all], &["mr-11"]),
            (
                "others beside them",
                Found { has_foreign: true, ..found(2) },
                &["2 ManagedResources keep", one],
                &["--all"],
            ),
            (
                "some cannot be seen",
                Found { doubts: doubts.clone(), ..found(1) },
                &[
                    "1 ManagedResource keeps",
                    "Not all could be seen: list ManagedResources in b: it is forbidden. ",
                    one,
                ],
                &["--all"],
            ),
        ];
        for (name, found, parts, absent) in cases {
            let text = text(&found, "F");
            assert!(parts.iter().all(|part| text.contains(part)), "{name}: {text}");
            assert!(!text.trim_end().contains(['\n', '"']), "{name}: {text}");
            assert!(!absent.iter().any(|part| text.contains(part)), "{name}: {text}");
        }
        let nothing_seen = text(&Found { doubts, ..found(0) }, "F");
        assert!(
            nothing_seen.starts_with("There may be ManagedResources that keep the finalizer F. Not all"),
            "{nothing_seen}"
        );
        assert!(nothing_seen.contains(one) && !nothing_seen.contains("--all"), "{nothing_seen}");
    }

    #[test]
    fn the_flag_is_seen_on_any_command_line() {
        let asks = |words: &str| is_requested(words.split(' ').map(OsString::from));
        assert!(asks("holdfast-controller --no-such-flag --finalizer-notice --class="));
        assert!(!asks("holdfast-controller --class=--finalizer-notice"));
    }
}
