//! What is measured, what the Go original took for it, and what is to be reached.

/// A group of figures that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// An edit is taken back.
    Edited,
    /// A deleted object comes back.
    Deleted,
    /// Many edits and deletions at once.
    Burst,
    /// One large ManagedResource, created.
    ApplyOne,
    /// Many small ones, created.
    ApplyMany,
    /// One object changed in the Secret.
    Update,
    /// Objects that are not declared any more.
    Prune,
    /// A large ManagedResource, deleted.
    Deletion,
    /// Nothing happens.
    Settled,
    /// `kill -9`.
    Restart,
    /// Everything is applied once more.
    Resync,
    /// Memory with many objects.
    Memory,
    /// Memory with twice as many.
    MoreMemory,
    /// CPU time beside the API server's.
    Cpu,
    /// An edit is taken back while another kind is sick.
    Sick,
    /// The webhook decides, in process.
    Decision,
    /// The webhook's CPU time for a review, as many as it can answer.
    Saturated,
    /// How long reviews take where there are not too many.
    Paced,
    /// What the API server waits for.
    Added,
    /// The webhook's memory with many objects and reviews.
    ReviewMemory,
    /// The webhook's memory while many Secrets are checked.
    SecretMemory,
    /// A large Secret is checked.
    LargeSecret,
    /// Secrets that are made to cost much.
    Bombs,
}

/// One figure, and the most that it may be.
#[derive(Debug)]
pub(super) struct Target {
    /// What is measured.
    pub(super) name: &'static str,
    /// What the Go original took on two cores with its client limits lifted.
    pub(super) original: &'static str,
    /// The target, in `unit`.
    pub(super) at_most: f64,
    pub(super) unit: &'static str,
}

const fn target(name: &'static str, original: &'static str, at_most: f64, unit: &'static str) -> Target {
    Target { name, original, at_most, unit }
}

impl Row {
    pub(super) const ALL: [Self; 23] = [
        Self::Edited,
        Self::Deleted,
        Self::Burst,
        Self::ApplyOne,
        Self::ApplyMany,
        Self::Update,
        Self::Prune,
        Self::Deletion,
        Self::Settled,
        Self::Restart,
        Self::Resync,
        Self::Memory,
        Self::MoreMemory,
        Self::Cpu,
        Self::Sick,
        Self::Decision,
        Self::Saturated,
        Self::Paced,
        Self::Added,
        Self::ReviewMemory,
        Self::SecretMemory,
        Self::LargeSecret,
        Self::Bombs,
    ];

    /// For `--only` and for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Burst => "burst",
            Self::ApplyOne => "apply-one",
            Self::ApplyMany => "apply-many",
            Self::Update => "update",
            Self::Prune => "prune",
            Self::Deletion => "mr-deletion",
            Self::Settled => "settled",
            Self::Restart => "restart",
            Self::Resync => "resync",
            Self::Memory => "rss-5000",
            Self::MoreMemory => "rss-10000",
            Self::Cpu => "cpu",
            Self::Sick => "sick",
            Self::Decision => "webhook-decision",
            Self::Saturated => "webhook-cpu",
            Self::Paced => "webhook-paced",
            Self::Added => "webhook-latency",
            Self::ReviewMemory => "webhook-rss",
            Self::SecretMemory => "webhook-rss-secrets",
            Self::LargeSecret => "webhook-secret",
            Self::Bombs => "webhook-bombs",
        }
    }

    /// The figures, in the order in which they are measured.
    pub(super) fn targets(self) -> &'static [Target] {
        match self {
            Self::Edited => {
                const {
                    &[
                        target("edited object repaired, 1,000 managed, p50", "40 s", 15.0, "ms"),
                        target("edited object repaired, 1,000 managed, p99", "-", 50.0, "ms"),
                    ]
                }
            }
            Self::Deleted => {
                const {
                    &[
                        target("deleted object back, p50", "390 ms", 15.0, "ms"),
                        target("deleted object back, p99", "-", 50.0, "ms"),
                        target("deleted object back, writes to the target", "9", 1.0, "writes"),
                    ]
                }
            }
            Self::Burst => {
                const { &[target("200 edits and deletions: all repaired after the last one", "minutes", 2.0, "s")] }
            }
            Self::ApplyOne => {
                const { &[target("one MR of 1,000 applied, beside a bare load generator", "3.9 s", 1.25, "x")] }
            }
            Self::ApplyMany => {
                const {
                    &[
                        target("200 MRs of 20 applied, beside a bare load generator", "13.7 s", 1.25, "x"),
                        target("200 MRs of 20 applied, status writes an MR", "5.04", 3.0, "writes"),
                    ]
                }
            }
            Self::Update => {
                const {
                    &[
                        target("one of 1,000 changed in the Secret: visible", "480 ms", 80.0, "ms"),
                        target("one of 1,000 changed in the Secret, writes to the target", "11", 1.0, "writes"),
                        target("one of 1,000 changed in the Secret, writes of status", "-", 2.0, "writes"),
                    ]
                }
            }
            Self::Prune => const { &[target("500 of 1,000 objects pruned", "2.2 s", 0.8, "s")] },
            Self::Deletion => const { &[target("MR with 1,000 objects deleted", "3.5 s", 1.5, "s")] },
            _ => self.targets_at_scale(),
        }
    }

    fn targets_at_scale(self) -> &'static [Target] {
        match self {
            Self::Settled => const { &[target("settled, 200 MRs with 5,000 objects, 120 s", "818", 0.0, "requests")] },
            Self::Restart => {
                const {
                    &[
                        target("restart with 10,000 objects in sync: applies sent", "-", 0.0, "applies"),
                        target("restart with 10,000 objects in sync: writes", "-", 0.0, "writes"),
                        target("restart with 10,000 objects: an edit made meanwhile is repaired", "-", 10.0, "s"),
                    ]
                }
            }
            Self::Resync => {
                const {
                    &[
                        target("resync of 10,000 objects: resourceVersions that move", "-", 0.0, "objects"),
                        target("resync of 10,000 objects: a repair meanwhile, p99", "-", 50.0, "ms"),
                    ]
                }
            }
            Self::Memory => const { &[target("RSS with 5,000 objects", "135 MiB", 40.0, "MiB")] },
            Self::MoreMemory => const { &[target("RSS with 10,000 objects", "-", 64.0, "MiB")] },
            Self::Sick => {
                const {
                    &[
                        target("edited object repaired while a kind of its MR is sick, p50", "-", 15.0, "ms"),
                        target("edited object repaired while a kind of its MR is sick, p99", "-", 50.0, "ms"),
                        target("requests for the kind that is sick", "-", 1.0, "a second"),
                    ]
                }
            }
            Self::Cpu => const { &[target("controller CPU per applied object", "0.49", 0.125, "of the API server's")] },
            _ => self.targets_of_webhook(),
        }
    }

    /// Where Config Sync's admission webhook was measured in the same way, its figure.
    fn targets_of_webhook(self) -> &'static [Target] {
        match self {
            Self::Decision => const { &[target("decision on a 21 kB review, in process, p99", "-", 0.5, "ms")] },
            Self::Saturated => {
                const {
                    &[
                        target("webhook CPU for a 4.5 kB review of a ConfigMap", "219 us (Config Sync)", 60.0, "us"),
                        target("webhook CPU for a 21 kB review of a Deployment", "1,144 us (Config Sync)", 140.0, "us"),
                    ]
                }
            }
            Self::Paced => const { &[target("500 reviews/s of 21 kB, p99", "-", 5.0, "ms")] },
            Self::Added => {
                const {
                    &[target(
                        "latency added to an allowed write, p50, beside a webhook that always allows",
                        "1.5 x (Config Sync)",
                        1.15,
                        "x",
                    )]
                }
            }
            Self::ReviewMemory => {
                const {
                    &[
                        target(
                            "webhook RSS, 10,000 objects, 1,000,000 reviews",
                            "67 MB idle (Config Sync)",
                            32.0,
                            "MiB",
                        ),
                        target("webhook RSS, growth over these reviews", "-", 1.0, "MiB"),
                    ]
                }
            }
            Self::SecretMemory => {
                const { &[target("webhook RSS while 8 clients send the worst Secrets, peak", "-", 96.0, "MiB")] }
            }
            Self::LargeSecret => {
                const { &[target("1 MiB Secret with 1,000 documents checked, p50", "-", 100.0, "ms")] }
            }
            Self::Bombs => {
                const {
                    &[
                        target("Brotli bomb of 512 MiB refused", "-", 50.0, "ms"),
                        target("alias bomb refused", "-", 50.0, "ms"),
                        target("200 kB of [ refused", "-", 50.0, "ms"),
                    ]
                }
            }
            _ => &[],
        }
    }
}
