# SPDX-License-Identifier: MIT
"""Reads a store with h5py alone, as docs/store.md says: what the tests compare multinode's own reading with."""


def text(field):
    return field.decode() if isinstance(field, bytes) else field


def jobs(file):
    """The rows of the table, as dictionaries."""
    table = file["jobs"][()]
    return [{name: text(row[name]) for name in table.dtype.names} for row in table]


def value(file, job, name):
    """input or result of a job: None, str, bytes or an array."""
    row = next(row for row in file["jobs"][()] if text(row["id"]) == job)
    kind = text(row[name + "_type"])
    if kind:
        at, count = int(row[name + "_at"]), int(row[name + "_count"])
        array = file["values"][kind][at:at + count] if count else None
        if kind in ("text", "bytes"):
            small = array.tobytes() if count else b""
            return small.decode() if kind == "text" else small
        return array
    if not row["grouped"] or name not in file["data"][job]:
        return None
    dataset = file["data"][job][name]
    if dataset.dtype.kind in "SO":
        return dataset.asstr()[()] if dataset.shape is not None else ""
    array = dataset[()]
    return array.tobytes() if dataset.attrs.get("kind") == "bytes" else array


def header(file, job, name):
    """The address in the file of what describes that value, which has a dataset of its own."""
    import h5py
    return h5py.h5o.get_info(file["data"][job][name].id).addr
