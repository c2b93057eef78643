"""Which file systems a store may be written to: not those that several machines share."""

import os
from pathlib import Path

from initguide.experiments.store.transactions import StoreError

ALLOWED = "INITGUIDE_STORE"  # =anywhere: whoever sets it knows that one machine writes
MOUNTS = Path("/proc/self/mountinfo")  # Linux; elsewhere it is not known, and nothing is refused

# Where a lock that one machine takes may be unseen by another, or depends on how it was mounted.
# Not "9p" and "virtiofs", by which a virtual machine sees the disk of the machine that it runs on.
NETWORK = frozenset(
    "afs beegfs ceph cifs coda davfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs "  # noqa: SIM905  as a list, each word has a line
    "panfs pvfs2 smb3 smbfs wekafs fuse.blobfuse2 fuse.ceph-fuse fuse.curlftpfs fuse.davfs "
    "fuse.gcsfuse fuse.glusterfs fuse.juicefs fuse.mount-s3 fuse.rclone fuse.s3fs fuse.smbnetfs "
    "fuse.sshfs".split()
)


def check_place(path: Path) -> None:
    """Refuse a new or old store to write to that lies on a file system of the network.

    Parameters
    ----------
    path
        The file, which may not be there yet.

    Raises
    ------
    StoreError
        If it does, with the kind of file system and where to put the store.
    """
    if os.environ.get(ALLOWED, "").lower() == "anywhere":
        return
    kind, where = _file_system(path)
    if kind in NETWORK:
        raise StoreError(
            f"{path} is on a network file system ({kind}, mounted at {where}). SQLite's locks may "
            "not hold there between machines, and two that write would damage the file. Only the "
            "process that makes the call writes it, workers do not: give a file on a disk of that "
            f"process's machine, and copy it afterwards. {ALLOWED}=anywhere in the environment "
            "allows it, if no other machine writes it"
        )


def _file_system(path: Path) -> tuple[str, str]:
    """Kind of the file system of a file, and where it is mounted; empty if that is not known."""
    target = path.resolve()
    try:
        device = (target if target.exists() else target.parent).stat().st_dev
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return "", ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        # 36 35 98:0 /root /mount/point options optional fields - type source more options
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 4 and fields[2] == wanted and after:
            return after.split()[0], fields[4].replace("\\040", " ")
    return "", ""
