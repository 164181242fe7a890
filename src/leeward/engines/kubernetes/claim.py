"""Render a volume as a claim, read claims back, and say what is wrong with them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leeward.engines.kubernetes.names import APP, PROCESS, PROJECT, metadata, stem
from leeward.engines.kubernetes.pods import amount
from leeward.engines.kubernetes.rules import Rules
from leeward.errors import Problem
from leeward.model.region import Examined
from leeward.model.runtime import Workload
from leeward.model.volume import Mount, Volume, shown_size

NAME = "leeward.dev/volume"
PATH = "leeward.dev/path"
DEFAULT = "storageclass.kubernetes.io/is-default-class"
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of ours as the cluster has it."""

    namespace: str
    name: str
    app: str
    process: str
    project: str
    volume: str
    path: str
    asked_mib: int
    has_mib: int
    """0 until something stands behind it."""
    phase: str
    storage_class: str
    shared: bool
    resizing: str
    """What the cluster says of its growth; '' when it does not grow."""
    deleted: bool


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A kind of disk that a cluster can make."""

    name: str
    default: bool
    grows: bool


def claim_name(app: str, process: str, name: str) -> str:
    """The claim of a volume, which all generations of its process have."""
    return f"{stem(app, process)}-{name}"


def claim(want: Workload, rules: Rules, mount: Mount) -> dict[str, Any]:
    """Disk space that outlives instances."""
    meta = metadata(claim_name(want.app, want.process, mount.name), rules, want.project, want.app, want.process)
    meta["labels"][NAME] = mount.name
    meta["annotations"] = {PATH: mount.path}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": {
            "accessModes": ["ReadWriteMany" if rules.shared_volumes else "ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{mount.size_mib}Mi"}},
            **({"storageClassName": rules.storage_class} if rules.storage_class else {}),
        },
    }


def read_claim(shown: Mapping[str, Any]) -> Claim | None:
    """A claim from the API's answer; None for one that is no volume of an app."""
    meta, spec, status = shown["metadata"], shown.get("spec") or {}, shown.get("status") or {}
    labels: Mapping[str, str] = meta.get("labels") or {}
    if not labels.get(NAME):
        return None
    resizing = next(
        (
            str(each.get("message") or each["type"])
            for each in status.get("conditions") or ()
            if each.get("status") == "True" and "Resiz" in each["type"]
        ),
        "",
    )
    return Claim(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        app=labels.get(APP, ""),
        process=labels.get(PROCESS, ""),
        project=labels.get(PROJECT, ""),
        volume=labels[NAME],
        path=(meta.get("annotations") or {}).get(PATH, ""),
        asked_mib=amount(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")) // _MIB,
        has_mib=amount((status.get("capacity") or {}).get("storage", "0")) // _MIB,
        phase=status.get("phase", ""),
        storage_class=spec.get("storageClassName") or "",
        shared="ReadWriteMany" in (spec.get("accessModes") or ()),
        resizing=resizing,
        deleted="deletionTimestamp" in meta,
    )


def storage_class(shown: Mapping[str, Any]) -> StorageClass:
    """A storage class from the API's answer."""
    meta = shown["metadata"]
    return StorageClass(
        meta["name"],
        (meta.get("annotations") or {}).get(DEFAULT) == "true",
        bool(shown.get("allowVolumeExpansion")),
    )


def volume(one: Claim, region: str, used_by: Sequence[str], said: str) -> Volume:
    """A claim as a volume; `said` is what the cluster said last of a claim that waits."""
    problem, hint = "", ""
    if one.deleted:
        problem, hint = "is being deleted", "it goes when no instance has it any more"
    elif one.phase == "Lost":
        problem, hint = "is lost: the disk behind it is gone", "restore a backup into a volume by another name"
    elif one.phase == "Pending" and "WaitForFirstConsumer" in said:
        problem, hint = "is made when the first instance needs it", ""
    elif one.phase == "Pending":
        problem = f"is not there yet: {said}" if said else "is not there yet, and the cluster does not say why"
        hint = "see `lee doctor --region` of its region, and the storage class's provisioner"
    elif 0 < one.has_mib < one.asked_mib:
        problem = f"still has {shown_size(one.has_mib)}" + (f": {one.resizing}" if one.resizing else "")
        hint = "some disks grow only when an instance starts anew: `lee restart`"
    return Volume(
        app=one.app,
        process=one.process,
        name=one.volume,
        project=one.project,
        region=region,
        path=one.path,
        size_mib=one.asked_mib,
        enforced=True,
        used_by=tuple(used_by),
        problem=problem,
        hint=hint,
    )


def unfit(
    wants: Sequence[Workload], rules: Rules, classes: Sequence[StorageClass] | None, there: Sequence[Claim]
) -> tuple[Problem, ...]:
    """What of the volumes of these workloads this cluster cannot do; `classes` is None where they are not shown."""
    found: list[Problem] = []
    known = {(one.project, one.app, one.process, one.volume): one for one in there if not one.deleted}
    for want in (want for want in wants if want.volumes):
        where = f"processes/{want.process}"
        most = max(want.instances, want.bounds.max if want.bounds is not None else 0)
        if most > 1 and not rules.shared_volumes:
            found.append(
                Problem(
                    f"{where}/instances",
                    f"{most} instances cannot have the volumes of '{want.process}': "
                    f"a disk of region '{rules.region}' is on one node at a time",
                    "use 1 instance, or give the region a class for many: "
                    "`--option storage_class=NAME --option shared_volumes=yes`",
                )
            )
        for mount in want.volumes:
            one = known.get((want.project, want.app, want.process, mount.name))
            name = one.storage_class if one is not None else rules.storage_class
            problem = _class_problem(name, classes, rules, one, mount)
            if problem is not None:
                found.append(Problem(f"{where}/volumes/{mount.name}", *problem))
    return tuple(found)


def _class_problem(
    name: str, classes: Sequence[StorageClass] | None, rules: Rules, one: Claim | None, mount: Mount
) -> tuple[str, str] | None:
    if classes is None:
        return None
    names = ", ".join(each.name for each in classes) or "none"
    chosen = next((each for each in classes if each.name == name or (not name and each.default)), None)
    option = f"`lee regions add {rules.region} --option storage_class=NAME`"
    if one is None and chosen is None and name:
        return f"region '{rules.region}' has no storage class '{name}', but {names}", f"choose one: {option}"
    if one is None and chosen is None:
        return (
            f"region '{rules.region}' has no default storage class, so that nothing would make the disk",
            f"choose one of {names}: {option}" if classes else "install a provisioner of disks in the cluster",
        )
    if one is not None and mount.size_mib > one.asked_mib and (chosen is None or not chosen.grows):
        return (
            f"a volume of storage class '{name}' cannot grow from {shown_size(one.asked_mib)} "
            f"to {shown_size(mount.size_mib)}",
            "let the class allow it (allowVolumeExpansion), or take a new volume by another name and path",
        )
    return None


def examined(classes: Sequence[StorageClass] | None, rules: Rules) -> Examined:
    """Whether volumes can be had here, as `lee doctor --region` says it."""
    name, needed = "volumes", bool(rules.storage_class)
    if classes is None:
        return Examined(name, False, "storage classes may not be looked at", "allow listing them", needed=False)
    names = ", ".join(each.name for each in classes) or "none"
    chosen = next((each for each in classes if each.name == rules.storage_class), None)
    chosen = chosen or next((each for each in classes if each.default and not rules.storage_class), None)
    if chosen is not None:
        grows = "they can grow" if chosen.grows else "they cannot grow"
        many = "many nodes at once" if rules.shared_volumes else "one node at a time"
        return Examined(name, True, f"are of storage class '{chosen.name}', for {many}; {grows}", needed=needed)
    what = f"there is no storage class '{rules.storage_class}'" if needed else "there is no default storage class"
    hint = f"name one with `lee regions add {rules.region} --option storage_class=NAME`: there are {names}"
    return Examined(name, False, what, hint if classes else "install a provisioner of disks in the cluster", needed)
