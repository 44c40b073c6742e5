"""Checks deploy/kubernetes: its own kinds against Kubernetes' schemas, KEDA's against those of its CRDs.

Run by deploy-check.sh, in whose Python the packages are. Unknown fields are errors.
"""

import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda


def strict(schema):
    """The schema in which an object takes no other properties than those it lists."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(part) for name, part in schema.items()}
    if "properties" in closed and closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def check(document):
    if document["apiVersion"].startswith("kustomize."):
        return "skipped: kubectl kustomize reads it"
    if document["apiVersion"] != "keda.sh/v1alpha1":
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        return "valid"
    model = getattr(keda, document["kind"])
    jsonschema.validate(document, strict(model.model_json_schema(by_alias=True)))
    return "valid"


def main():
    wrong = 0
    for path in sorted(Path("deploy/kubernetes").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            name = f"{path}: {document['kind']} {document.get('metadata', {}).get('name', '')}".rstrip()
            try:
                print(f"{name}: {check(document)}")
            except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
                wrong += 1
                where = "/".join(str(part) for part in error.path)
                print(f"{name}: {where or 'the document'}: {error.message}", file=sys.stderr)
    sys.exit(wrong > 0)


main()
