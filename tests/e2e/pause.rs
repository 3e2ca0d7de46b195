//! Break-glass: pauses of ManagedResources and of single objects.
mod managed_resources;
mod objects;
