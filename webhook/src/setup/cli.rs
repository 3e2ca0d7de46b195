//! The command line. An environment variable can set each flag, and the configuration file some of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use holdfast_core::protect::{Exempt, Rules};
use holdfast_runtime::config_file::Kind::{Text, Word};
use holdfast_runtime::config_file::Meaning::{Address, Flag, Ignored, OtherProgram};
use holdfast_runtime::config_file::Row;
use holdfast_runtime::connect::ConnectArgs;
use holdfast_runtime::flags::{self, ModeArg, RepairArg, positive_duration};
use holdfast_runtime::listen::{Endpoint, ListenArgs};
use holdfast_runtime::owner::OwnerArgs;
use holdfast_runtime::probes::ProbeArgs;
use holdfast_runtime::settings::{FileArgs, Sources};
use holdfast_runtime::telemetry::LogArgs;

/// The settings of the webhook besides its flags. The controller reads the same file, so most of its keys are not ours.
pub const SOURCES: Sources = Sources {
    rows: &[
        Row { path: "sourceClientConnection.kubeconfig", meaning: Flag("kubeconfig", Text) },
        Row { path: "sourceClientConnection.namespaces", meaning: OtherProgram },
        Row { path: "sourceClientConnection.qps", meaning: OtherProgram },
        Row { path: "sourceClientConnection.burst", meaning: OtherProgram },
        Row { path: "sourceClientConnection.acceptContentTypes", meaning: OtherProgram },
        Row { path: "sourceClientConnection.contentType", meaning: OtherProgram },
        Row { path: "sourceClientConnection.cacheResyncPeriod", meaning: OtherProgram },
        Row { path: "targetClientConnection.kubeconfig", meaning: Flag("target-kubeconfig", Text) },
        Row { path: "targetClientConnection.namespaces", meaning: OtherProgram },
        Row { path: "targetClientConnection.qps", meaning: OtherProgram },
        Row { path: "targetClientConnection.burst", meaning: OtherProgram },
        Row { path: "targetClientConnection.acceptContentTypes", meaning: OtherProgram },
        Row { path: "targetClientConnection.contentType", meaning: OtherProgram },
        Row { path: "targetClientConnection.cacheResyncPeriod", meaning: OtherProgram },
        Row { path: "leaderElection", meaning: OtherProgram },
        Row {
            path: "server.webhooks.tls",
            meaning: Ignored("certificates are in a Secret (--certificate-secret) or in --certificate-directory"),
        },
        Row { path: "server.webhooks", meaning: Address("bind-address", 9449) },
        Row { path: "server.healthProbes", meaning: Address("probes-address", 8081) },
        Row { path: "server.metrics", meaning: Address("metrics-address", 8080) },
        Row { path: "debugging", meaning: OtherProgram },
        Row { path: "logLevel", meaning: Flag("log-level", Word(&["error", "warn", "info", "debug", "trace"])) },
        Row { path: "logFormat", meaning: Flag("log-format", Word(&["json", "text"])) },
        Row { path: "controllers", meaning: OtherProgram },
        Row { path: "webhooks", meaning: Ignored("it is not implemented") },
    ],
    before_file: &[("KUBECONFIG", "kubeconfig"), ("TARGET_KUBECONFIG", "target-kubeconfig")],
    after_file: &[],
};

/// Admission webhook of Holdfast: refuses edits of managed objects and manifests that cannot be read.
#[derive(Clone, Debug, Parser)]
#[command(name = "holdfast-webhook", version)]
pub struct Args {
    /// Configuration file.
    #[command(flatten)]
    pub file: FileArgs,

    /// Where the ports listen.
    #[command(flatten)]
    pub listen: ListenArgs,

    /// Address of the HTTPS server that the API server calls.
    #[arg(long, env = "HOLDFAST_BIND_ADDRESS", default_value = ":9443", value_name = "ADDRESS")]
    pub bind_address: Endpoint,

    /// File with the CAs (PEM) whose clients may connect. The webhook reads it again when it changes (--credentials-period).
    /// Default: any client may connect.
    #[arg(long, env = "HOLDFAST_CLIENT_CA_FILE", value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,

    /// Names of the clients that may connect: common or alternative names of their certificates. Default: any certificate of
    /// the CA.
    #[arg(
        long = "client-name",
        env = "HOLDFAST_CLIENT_NAME",
        value_delimiter = ',',
        value_name = "NAME",
        requires = "client_ca_file"
    )]
    pub client_names: Vec<String>,

    /// How long to serve after SIGTERM. The webhook turns unready at once, so that the API server sends its reviews to another
    /// replica meanwhile.
    #[arg(long, env = "HOLDFAST_SHUTDOWN_DELAY", default_value = "0s", value_name = "DURATION", value_parser = flags::duration)]
    pub shutdown_delay: Duration,

    /// After how long without news the watch of ManagedResources counts as stale. The webhook then keeps deciding by what it
    /// last knew, and says so in /readyz and the log. The API server sends a bookmark about every minute.
    #[arg(long, env = "HOLDFAST_STALE_AFTER", default_value = "3m", value_name = "DURATION", value_parser = flags::duration)]
    pub stale_after: Duration,

    /// Probes and metrics.
    #[command(flatten)]
    pub probes: ProbeArgs,

    /// The cluster.
    #[command(flatten)]
    pub connect: ConnectArgs,

    /// Namespace of the webhook, its Service and the Secret with its certificate. Default: the service account's.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,

    /// Name of the Service through which the API server calls the webhook.
    #[arg(long, env = "HOLDFAST_SERVICE", default_value = "holdfast-webhook", value_name = "NAME")]
    pub service: String,

    /// Who owns that Secret.
    #[command(flatten)]
    pub owner: OwnerArgs,

    /// Name of the Secret with the certificate of all replicas. The webhook creates and renews it.
    #[arg(long, env = "HOLDFAST_CERTIFICATE_SECRET", default_value = "holdfast-webhook-tls", value_name = "NAME")]
    pub certificate_secret: String,

    /// Directory with tls.crt, tls.key and ca.crt, to use instead of that Secret. Another program renews the files; the webhook
    /// reads them every --credentials-period.
    #[arg(long, env = "HOLDFAST_CERTIFICATE_DIRECTORY", value_name = "DIRECTORY")]
    pub certificate_directory: Option<PathBuf>,

    /// Write the CA into the webhook configurations (caBundle). Set it to false if cert-manager does that.
    #[arg(long, env = "HOLDFAST_REGISTER_CA", num_args = 0..=1, default_value_t = true, default_missing_value = "true", action = ArgAction::Set)]
    pub register_ca: bool,

    /// Lifetime of the server certificates that the webhook makes. It renews them after two thirds of that.
    #[arg(long, env = "HOLDFAST_CERTIFICATE_LIFETIME", default_value = "8760h", value_name = "DURATION", value_parser = positive_duration)]
    pub certificate_lifetime: Duration,

    /// Lifetime of the CAs that the webhook makes. It renews them after two thirds of that.
    #[arg(long, env = "HOLDFAST_CA_LIFETIME", default_value = "87600h", value_name = "DURATION", value_parser = positive_duration)]
    pub ca_lifetime: Duration,

    /// Kubeconfig of the target cluster, where the managed objects are. Default: the cluster of the ManagedResources.
    #[arg(long, env = "HOLDFAST_TARGET_KUBECONFIG", value_name = "FILE")]
    pub target_kubeconfig: Option<PathBuf>,

    /// URL for API servers that cannot use the Service, such as https://webhook.example.com:9443. The certificate is made for its
    /// host, too.
    #[arg(long, env = "HOLDFAST_ADVERTISE_URL", value_name = "URL")]
    pub advertise_url: Option<String>,

    /// Name of the ValidatingWebhookConfiguration.
    #[arg(long, env = "HOLDFAST_VALIDATING_CONFIGURATION", default_value = "holdfast", value_name = "NAME")]
    pub validating_configuration: String,

    /// Name of the MutatingWebhookConfiguration.
    #[arg(long, env = "HOLDFAST_MUTATING_CONFIGURATION", default_value = "zz-holdfast", value_name = "NAME")]
    pub mutating_configuration: String,

    /// Protection of ManagedResources that do not set spec.protection.mode: Deny, Revert, Warn or Off.
    #[arg(
        long,
        env = "HOLDFAST_DEFAULT_PROTECTION",
        default_value = "Deny",
        value_name = "MODE",
        value_enum,
        ignore_case = true
    )]
    pub default_protection: ModeArg,

    /// Let every edit pass. An edit that would be refused gets a warning, an Event and a metric.
    #[arg(long, env = "HOLDFAST_AUDIT_ONLY", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = ArgAction::Set)]
    pub audit_only: bool,

    /// When the controller undoes drift by default: the value of its flag --repair. Only the texts of warnings depend on it.
    #[arg(long, env = "HOLDFAST_REPAIR", default_value = "watch", value_name = "WHEN", value_enum, ignore_case = true)]
    pub repair: RepairArg,

    /// User names of Holdfast's own service accounts. They are never refused.
    #[arg(long = "own-user", env = "HOLDFAST_OWN_USER", value_delimiter = ',', value_name = "USER")]
    pub own_users: Vec<String>,

    /// Further user names of Holdfast in the target cluster, besides the user of --target-kubeconfig.
    #[arg(long = "target-own-user", env = "HOLDFAST_TARGET_OWN_USER", value_delimiter = ',', value_name = "USER")]
    pub target_own_users: Vec<String>,

    /// Further users who are never refused.
    #[arg(long = "exempt-user", env = "HOLDFAST_EXEMPT_USER", value_delimiter = ',', value_name = "USER")]
    pub exempt_users: Vec<String>,

    /// Groups whose members are never refused.
    #[arg(long = "exempt-group", env = "HOLDFAST_EXEMPT_GROUP", value_delimiter = ',', value_name = "GROUP")]
    pub exempt_groups: Vec<String>,

    /// Longest pause of a ManagedResource, such as 90m or 24h.
    #[arg(long, env = "HOLDFAST_MAX_PAUSE", default_value = "24h", value_name = "DURATION", value_parser = flags::duration)]
    pub max_pause: Duration,

    /// What to do with edits of managed objects before the first list of ManagedResources.
    #[arg(long, env = "HOLDFAST_FAILURE_POLICY", value_enum, ignore_case = true, default_value_t = FailurePolicy::Ignore)]
    pub failure_policy: FailurePolicy,

    /// What to do when someone deletes a namespace that is not managed but contains managed objects.
    #[arg(long, env = "HOLDFAST_NAMESPACE_DELETION", value_enum, ignore_case = true, default_value_t = NamespaceDeletion::Warn)]
    pub namespace_deletion: NamespaceDeletion,

    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What to do when someone deletes a namespace with managed objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NamespaceDeletion {
    /// Allow, with a warning that counts the objects.
    #[value(name = "Warn")]
    Warn,
    /// Refuse.
    #[value(name = "Deny")]
    Deny,
}

/// What to do with edits before the first list of ManagedResources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailurePolicy {
    /// Allow with a warning.
    #[value(name = "Ignore")]
    Ignore,
    /// Refuse.
    #[value(name = "Fail")]
    Fail,
}

impl Args {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// Two settings contradict each other.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.target_kubeconfig.is_some() && self.advertise_url.is_none() {
            anyhow::bail!("--target-kubeconfig needs --advertise-url: the target's API server cannot use our Service");
        }
        if self.certificate_lifetime > self.ca_lifetime {
            anyhow::bail!("--certificate-lifetime must not be longer than --ca-lifetime");
        }
        Ok(())
    }

    /// The users who are never refused in a cluster where these are our `own` users.
    pub fn exempt(&self, own: Vec<String>) -> Exempt {
        let named = |list: &[String]| list.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>();
        Exempt::new(own, named(&self.exempt_users), named(&self.exempt_groups))
    }

    /// The flags on which decisions depend.
    pub fn rules(&self) -> Rules {
        let own = self.own_users.iter().filter(|name| !name.is_empty()).cloned().collect();
        Rules {
            exempt: self.exempt(own),
            default_mode: self.default_protection.into(),
            home: self.namespace.clone().unwrap_or_default(),
            default_repair: self.repair.into(),
            audit_only: self.audit_only,
            fail_closed: self.failure_policy == FailurePolicy::Fail,
            keep_namespaces: self.namespace_deletion == NamespaceDeletion::Deny,
            longest_pause: self.max_pause,
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::api::{Mode, Repair};

    use super::*;

    #[test]
    fn every_key_of_the_file_names_a_flag_that_there_is() {
        let command = <Args as clap::CommandFactory>::command();
        for row in SOURCES.rows {
            if let Flag(flag, _) | Address(flag, _) = row.meaning {
                assert!(command.get_arguments().any(|arg| arg.get_long() == Some(flag)), "{}: --{flag}", row.path);
            }
        }
    }

    #[test]
    fn flags_are_consistent_and_become_rules() {
        <Args as clap::CommandFactory>::command().debug_assert();
        let args = Args::parse_from([
            "holdfast-webhook",
            "--own-user=system:serviceaccount:h:a,system:serviceaccount:h:b",
            "--exempt-group=robots",
            "--default-protection=off",
            "--failure-policy=fail",
            "--namespace-deletion=deny",
            "--repair=Resync",
            "--max-pause=1h30m",
        ]);
        let rules = args.rules();
        assert!(rules.exempt.contains("system:serviceaccount:h:b", &[]));
        assert!(rules.exempt.contains("x", &["robots".to_owned()]));
        assert!(!rules.exempt.contains("", &[]));
        assert_eq!((rules.default_mode, rules.fail_closed, rules.keep_namespaces), (Mode::Off, true, true));
        assert_eq!((rules.default_repair, rules.audit_only), (Repair::Resync, false));
        for (flag, expected) in [("--audit-only", true), ("--audit-only=true", true), ("--audit-only=false", false)] {
            assert_eq!(Args::parse_from(["holdfast-webhook", flag]).rules().audit_only, expected, "{flag}");
        }
        assert_eq!(rules.longest_pause, Duration::from_secs(5400));
        assert!(Args::try_parse_from(["holdfast-webhook", "--default-protection=loud"]).is_err());
    }
}
