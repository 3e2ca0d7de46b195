// CustomResourceDefinitions of others, which tests install. Nothing of it is built: the YAML lies in the modules.
module holdfast/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.19.1
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
