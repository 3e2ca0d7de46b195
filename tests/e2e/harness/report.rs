//! What a failed test leaves behind for whoever has to find out why.
use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Once;
use std::time::Duration;

use holdfast_e2e::control_plane::User;
use holdfast_e2e::kubectl::Kubectl;

use super::Cluster;

const LIMIT: Duration = Duration::from_secs(10);

thread_local! {
    /// Why this thread panicked last.
    static REASON: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on, the reason of a panic is kept, so that a report can end with it: of a long log, the end is what is read.
pub fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            print(panic);
            REASON.set(panic.to_string());
        }));
    });
}

/// ManagedResources and Events of a namespace, the last lines of our pods' logs, and why this thread panicked. Blocks: the
/// test's runtime may be gone.
pub fn of(cluster: &Cluster, ns: &str) -> String {
    let (tools, kubeconfig) = (cluster.control_plane.tools().clone(), cluster.control_plane.kubeconfig());
    let questions = [
        format!("get managedresources -n {ns} -o yaml"),
        format!("get events -n {ns} --sort-by=.lastTimestamp"),
        format!("get all,configmaps -n {ns}"),
    ];
    let answers = std::thread::spawn(move || {
        let kubectl = Kubectl::new(&tools, &kubeconfig, User::Admin.name()).with_limit(LIMIT);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("start a runtime");
        let mut text = String::new();
        for question in &questions {
            let args: Vec<&str> = question.split_whitespace().collect();
            let answer = match runtime.block_on(kubectl.run(&args, None)) {
                Ok(output) => super::user::printed(&output),
                Err(error) => format!("{error:#}"),
            };
            let _ = writeln!(text, "=== kubectl {question}\n{answer}");
        }
        text
    });
    let answers = answers.join().unwrap_or_else(|_| "the report could not be made".to_owned());
    format!("{answers}=== our pods\n{}=== failed\n{}", cluster.player.dump(40), REASON.take())
}
