"""An OCI image as one file, written without an engine, a registry or root: sorted, without times and owners of this
machine, so that the same content is the same digest.

The file is an OCI layout (image-layout 1.0.0) with the index that `docker load` reads beside it: podman, skopeo, ctr and
docker take it.
"""

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass

_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_COMPRESSION = 6


@dataclass(frozen=True)
class Entry:
    """A file (with content) or a folder (without) of an image."""

    path: str
    mode: int
    content: bytes | None = None
    owner: int = 0


def layer(entries, time):
    """The entries and the folders above them, as an uncompressed archive."""
    complete = {entry.path: entry for entry in entries}
    for path in list(complete):
        while "/" in path:
            path = path.rpartition("/")[0]
            complete.setdefault(path, Entry(path, 0o755))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(complete):
            archive.addfile(*_member(complete[path], time))
    return packed.getvalue()


def image(reference, architecture, settings, labels, layers, time, created):
    """The bytes of the image's file, and the digest by which registries will know it."""
    blobs, described = {}, []
    for content in layers:
        packed = gzip.compress(content, _COMPRESSION, mtime=0)
        described.append(_blob(blobs, packed, _LAYER))
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {**settings, "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [_digest(content) for content in layers]},
        "history": [{"created": created, "created_by": "deploy/images/build"} for _ in layers],
    }
    config = _blob(blobs, _json(config), _CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": described, "annotations": labels}
    manifest = _blob(blobs, _json(manifest), _MANIFEST)
    name, _, tag = reference.rpartition(":")
    named = {
        **manifest,
        "platform": {"architecture": architecture, "os": "linux"},
        "annotations": {"io.containerd.image.name": f"docker.io/{name}:{tag}", "org.opencontainers.image.ref.name": tag},
    }
    for_docker = [
        {"Config": _path(config), "RepoTags": [reference], "Layers": [_path(described_as) for described_as in described]}
    ]
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]}),
        "manifest.json": _json(for_docker),
        **{_path(descriptor): content for descriptor, content in blobs.values()},
    }
    whole = layer([Entry(path, 0o644, content) for path, content in files.items()], time)
    return whole, manifest["digest"]


def _member(entry, time):
    member = tarfile.TarInfo(entry.path)
    member.mode, member.mtime = entry.mode, time
    member.uid = member.gid = entry.owner
    if entry.content is None:
        member.type = tarfile.DIRTYPE
        return member, None
    member.size = len(entry.content)
    return member, io.BytesIO(entry.content)


def _blob(blobs, content, kind):
    descriptor = {"mediaType": kind, "digest": _digest(content), "size": len(content)}
    blobs[descriptor["digest"]] = (descriptor, content)
    return descriptor


def _path(descriptor):
    return "blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")


def _digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
