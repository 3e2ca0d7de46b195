#!/usr/bin/env python3
"""Writes go.mod anew, to move to another Kubernetes: ./generate-go-mod.py v1.37.2 && go mod tidy

k8s.io/kubernetes requires its staging modules at v0.0.0, so `go mod tidy` fails until each has a `replace` line with its
published twin (v1.37.2 -> v0.37.2). etcd and Go are taken as that Kubernetes requires them. The Kubernetes version stands in
go.mod only: the build reads it there.
"""
import json
import pathlib
import re
import subprocess
import sys

version = sys.argv[1]
module = json.loads(subprocess.check_output(["go", "mod", "download", "-json", f"k8s.io/kubernetes@{version}"], cwd="/"))
text = pathlib.Path(module["GoMod"]).read_text()
staging = re.findall(r"^\s+(k8s\.io/\S+) v0\.0\.0(?:\s|$)", text, re.M)
etcd = re.search(r"go\.etcd\.io/etcd/client/v3 (\S+)", text).group(1)
go = re.search(r"^go (\S+)", text, re.M).group(1)
twin = "v0" + version.removeprefix("v1")
replace = "\n".join(f"\t{name} => {name} {twin}" for name in staging)
pathlib.Path("go.mod").write_text(
    f"module holdfast/control-plane\n\ngo {go}\n\n"
    f"require (\n\tk8s.io/kubernetes {version}\n\tgo.etcd.io/etcd/server/v3 {etcd}\n)\n\n"
    f"replace (\n{replace}\n)\n"
)
