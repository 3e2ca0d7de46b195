//! Names and paths that many tests need.

/// Path of HorizontalPodAutoscalers.
pub const AUTOSCALERS: &str = "autoscaling/v2/horizontalpodautoscalers";

/// A finalizer that nobody removes by himself.
pub const FOREIGN_FINALIZER: &str = "example.com/hold";

/// The finalizer of a ManagedResource of the default class.
pub const OUR_FINALIZER: &str = "resources.gardener.cloud/gardener-resource-manager";

/// The annotation that pauses a ManagedResource, or says of an object that it is not managed.
pub const IGNORE: &str = "resources.gardener.cloud/ignore";

/// The annotation that keeps an object when it is not declared any more.
pub const KEEP: &str = "resources.gardener.cloud/keep-object";

/// Path of Leases.
pub const LEASES: &str = "coordination.k8s.io/v1/leases";

/// Where objects carry the name of their ManagedResource.
pub const ORIGIN: &str = "/metadata/annotations/resources.gardener.cloud~1origin";
