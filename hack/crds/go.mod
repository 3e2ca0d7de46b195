// CustomResourceDefinitions of others, which tests install. Nothing of it is built: the YAML lies in the modules.
module holdfast/crds

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
