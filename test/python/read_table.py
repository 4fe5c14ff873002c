# Reads what Millrace wrote with pyarrow and pyiceberg, and prints it as JSON. Usage: read_table.py parquet FILE | iceberg METADATA | sums METADATA DISTINCT SUMMED
import base64
import datetime
import decimal
import json
import math
import sys

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def plain(value):
    if isinstance(value, datetime.datetime):
        return str((value - EPOCH) // datetime.timedelta(microseconds=1))
    if isinstance(value, datetime.date):
        return (value - EPOCH.date()).days
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bool) or isinstance(value, float) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def cells(table):
    import pyarrow as pa

    # as integers: Python's dates end at the year 9999, ours do not
    columns = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type):
            columns.append([str(v) if v is not None else None for v in column.cast(pa.int64()).to_pylist()])
        elif pa.types.is_date(column.type):
            columns.append(column.cast(pa.int32()).to_pylist())
        elif pa.types.is_int32(column.type):
            columns.append(column.to_pylist())
        else:
            columns.append([plain(v) for v in column.to_pylist()])
    return [list(row) for row in zip(*columns)]


def parquet(path):
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    stats = []
    for i in range(file.metadata.num_columns):
        s = file.metadata.row_group(0).column(i).statistics
        stats.append(
            {
                "nulls": s.null_count,
                "min": plain(s.min_raw if not s.has_min_max else s.min) if s.has_min_max else None,
                "max": plain(s.max) if s.has_min_max else None,
            }
        )
    table = file.read()
    return {
        "types": [str(field.type) for field in table.schema],
        "nullable": [field.nullable for field in table.schema],
        "ids": [int(field.metadata[b"PARQUET:field_id"]) for field in table.schema],
        "rows": cells(table),
        "stats": stats,
    }


def iceberg(path):
    from pyiceberg.table import StaticTable

    table = StaticTable.from_metadata("file://" + path)
    files = []
    for task in table.scan().plan_files():
        f = task.file
        files.append(
            {
                "path": f.file_path,
                "partition": [plain(v) for v in f.partition],
                "records": f.record_count,
                "bytes": f.file_size_in_bytes,
                "nulls": {str(k): v for k, v in (f.null_value_counts or {}).items()},
                "lower": {str(k): base64.b64encode(v).decode() for k, v in (f.lower_bounds or {}).items()},
                "upper": {str(k): base64.b64encode(v).decode() for k, v in (f.upper_bounds or {}).items()},
            }
        )
    rows = cells(table.scan().to_arrow())
    return {
        "schema": [[f.field_id, f.name, str(f.field_type), f.required] for f in table.schema().fields],
        "partition": [[f.name, str(f.transform)] for f in table.spec().fields],
        "properties": dict(table.properties),
        "snapshots": [
            {"id": str(s.snapshot_id), "summary": {"operation": s.summary.operation.value, **s.summary.additional_properties}}
            for s in table.metadata.snapshots
        ],
        "files": files,
        "rows": rows,
    }


def sums(path, distinct, summed):
    """Rows of a table, different values of one of its columns, the sum of another."""
    import pyarrow.compute as pc
    from pyiceberg.table import StaticTable

    scan = StaticTable.from_metadata("file://" + path).scan(selected_fields=(distinct, summed))
    table = scan.to_arrow()
    return {
        "rows": table.num_rows,
        "distinct": pc.count_distinct(table[distinct]).as_py(),
        "sum": pc.sum(table[summed]).as_py(),
    }


print(json.dumps({"parquet": parquet, "iceberg": iceberg, "sums": sums}[sys.argv[1]](*sys.argv[2:])))
