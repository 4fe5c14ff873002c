// Every bound of Millrace with the arithmetic that gave it, and what happens when it is reached; HTTP's own are in serve/http-limits.ts.

/** Largest body after decompression, bytes; larger ones get 413. One such body is in work at a time: its slot is this large. */
export const BODY_BYTES_MAX = 16 * 1024 * 1024;

/** Bodies up to this size, bytes, share slots: three bodies of 1,000 clicks (310 KB), or hundreds of single events. */
export const SLOT_BYTES = 1024 * 1024;

/**
 * Slots between HTTP and engine: 32 MB. A slot is free again when its events are in records; while a slow disk syncs these wait in the ring of
 * images. When all slots are taken requests wait in main.
 */
export const SLOT_COUNT = 32;

/** Partly filled slots with engine and log at a time: one is decoded while the other is synced; requests that come meanwhile share the next. */
export const SLOTS_ON_THE_WAY = 2;

/** Requests in one slot: 1,024 x 16 bytes of table. A full slot is handed over and the next one begun. */
export const SLOT_PARTS_MAX = 1024;

/** Requests that wait in main for a slot; beyond it 503 with Retry-After. At 310 KB each: 320 MB, within the 2 GB of a full run. */
export const WAITING_REQUESTS_MAX = 1024;
/** Bytes of bodies that wait in main for a slot; beyond it 503 with Retry-After. */
export const WAITING_BYTES_MAX = 256 * 1024 * 1024;

/** Rows of one record: about 1,000 rows stay in L2, 8,192 rows of small events still do. */
export const RECORD_ROWS_MAX = 8192;

/** Bytes of one batch image: 8,192 rows x 12 columns x 8 bytes + 1 MB of text fit. A record ends where the next event might not. */
export const IMAGE_BYTES_MAX = 4 * 1024 * 1024;
/**
 * Bytes of the images between engine and log: 80 MB. While one half is synced the other fills: 200,000 clicks of 200 bytes for each sync of a
 * slow disk. When they are full decoding waits for the disk (and producers for decoding).
 */
export const IMAGES_BYTES = 20 * IMAGE_BYTES_MAX;

/** Bytes of bodies after which engine seals a record even if more are ready: a record of 1,000 clicks stays in L2. */
export const RECORD_BODY_BYTES = 512 * 1024;

/** Errors listed in one answer; more are counted by `errors_truncated`. The last may be the one that says that the rest is unread. */
export const ANSWER_ERRORS_MAX = 100;

/** Page of a log file, bytes. Measured at 4, 8, 16, 32, 64 KB: 8 records of 40 KB per commit 302, 407, 248, 245, 166 MB/s. */
export const LOG_PAGE_BYTES = 8192;

/**
 * Zeros written ahead in the -wal of the log's newest file: 1 MB is some 60 to 120 commits of small records, each of which then syncs
 * without a journal commit of the file system (145 instead of 335 µs); one in that many pays for the zeros. At most an eighth of a file.
 */
export const WAL_AHEAD_BYTES = 1024 * 1024;
/** Commits above this many bytes write their own way: at 300 KB a commit the journal is a tenth of the sync. */
export const WAL_AHEAD_COMMIT_BYTES_MAX = 64 * 1024;

/** Age at which a log file is followed by the next, so that a trickle of events is trimmed too: 24 files a day at least. */
export const LOG_FILE_AGE_US_MAX = 3_600_000_000;

/** Room that `hasRoom` keeps beyond what is asked: pages around one transaction (64 records x 2 x 8 KB) and the next file (1 MB). */
export const LOG_ROOM_BYTES = 2 * 1024 * 1024;

/** Free bytes of the disk below which producers get 503: a checkpoint's transaction and the epoch being written still fit. */
export const DISK_FREE_BYTES_MIN = 512 * 1024 * 1024;

/** Log files that one reader keeps open: the one it reads and the newest. Reopening scans the -wal, 1 ms per MB. */
export const LOG_READER_FILES_MAX = 2;
/** Heads looked at together when a reader decides how many records fit: 64 x 100 bytes. */
export const LOG_HEADS_PER_LOOK = 64;

/**
 * Ids of one stream within its dedup_ttl, unless `dedup_ids_max` says otherwise: 24 M = 30 s at 800,000 events/s. Beyond it 503. At
 * 23 bytes an id while a table grows, and 30 at worst after long churn (pages two thirds full after an expansion), 24 M ids are 550 to
 * 720 MB.
 */
export const DEDUP_IDS_MAX = 24_000_000;
/** Highest `dedup_ids_max`: at 30 bytes an id 3.6 GB of the admit memory's 4 GB. */
export const DEDUP_IDS_CEILING = 120_000_000;
/** Lowest `dedup_ids_max`: a record of RECORD_ROWS_MAX rows must fit, eight times over. */
export const DEDUP_IDS_MIN = 65_536;

/** Longest dedup_ttl, µs: 20 days. The id table counts ms modulo 2^32 = 49.7 days, and must meet expired ids before they look young. */
export const DEDUP_TTL_US_MAX = 20 * 86_400 * 1_000_000;

/** Memory of `admit`, bytes (touched as ids come): what WASM can address. 720 MB for 24 M ids, 256 MB of delta, then further streams; then 503. */
export const ADMIT_MEMORY_BYTES_MAX = 65_535 * 65_536;

/** Ids since the last checkpoint, all streams: 16 M x 16 bytes = 256 MB, 10 s at 1.6 M events/s. Beyond it 503 until one is taken. */
export const DELTA_IDS_MAX = 16_000_000;
/** Ids of a checkpoint that a start parts by their hashes before they go into the table: 8 M x 16 bytes = 128 MB, free pages afterwards. */
export const RESTORE_IDS_MAX = 8_000_000;

/** Ids since the last checkpoint after which the next is due: 16 MB for its transaction, 1.4 s at 700,000 events/s. */
export const DELTA_IDS_DUE = 1_000_000;

/**
 * Bits of filter for each sealed id: 0.13 % of the lookups of other ids pass (measured), 2 bytes an id in memory. With 12 bits 0.5 % would:
 * at 15 generations one new id in 13 would be looked up on disk, now one in 50.
 */
export const SEALED_FILTER_BITS = 16;

/**
 * Ids of one generation when it is sealed: 4 M are 70 MB on disk, 130 MB of memory while it is written; at 100,000 ids/s one every 40 s.
 * Smaller ones for a small `dedup_ids_max`: an eighth of it.
 */
export const SEAL_IDS_MAX = 4 * 1024 * 1024;
/** Generations that are merged into one: at 8.6 G ids 4 M grow to 1 G in four merges, and 15 generations are looked at on average. */
export const SEAL_MERGE_FAN = 4;
/** A generation spans at most this share of the TTL: that much more disk holds ids that have expired, and that much a merge. */
export const SEAL_SPAN_SHARE = 1 / 8;
/** Ids that a merge copies in one step: 2 MB, some 25 ms of the export thread. */
export const SEAL_STEP_IDS = 128 * 1024;

/** Disk for the sealed ids of one stream, bytes, unless `dedup_disk_max` says otherwise: 220 M ids, with 440 MB of filters in memory. */
export const DEDUP_DISK_BYTES = 4 * 1024 * 1024 * 1024;

/** Bytes of a sealed id on disk: its entry, filter and share of the index, with 1 % to spare. */
export const SEALED_ID_BYTES = 18.3;

/** Largest body of /v1/sql, bytes: SQL text and parameters; larger ones get 413. */
export const SQL_BODY_BYTES_MAX = 1024 * 1024;

/** Longest window of a view, µs: 366 days. Two of them are open at a time, each with its groups. */
export const VIEW_WINDOW_US_MAX = 366 * 86_400_000_000;

/** Panes of a hop's window, size / gcd(slide, size): a day by the minute. Each open pane has two pages at least: 47 MB. */
export const HOP_PANES_MAX = 1_440;

/** Rollups of a view: minute, hour, day, week. Each holds its open window's groups: as much as the view again. */
export const ROLLUPS_MAX = 4;

/** Keys of session(...): the macro has an overload for each number of them. */
export const SESSION_KEYS_MAX = 8;

/** Bytes of a view's text: some 2,000 lines; DuckDB parses it in a few ms. A longer one is refused. */
export const VIEW_TEXT_BYTES_MAX = 64 * 1024;

/** Memory of the export module, bytes: 192 MB of dictionaries, 16 MB staged, pages and scratch. A larger output image grows it to this. */
export const EXPORT_MEMORY_BYTES_MAX = 1024 * 1024 * 1024;

/** Rows staged before a data page is cut: 20 records of 1,000. A page has at most 20,480 + 8,192 rows, see PAGE_ROWS_MAX. */
export const STAGE_ROWS = 20_480;
/** Bytes of images staged before a data page is cut, whatever the rows: about four pages of 1 MB. */
export const STAGE_BYTES = 8 * 1024 * 1024;

/** Rows of one data page: STAGE_ROWS and one more record; a larger output image is cut into several pages. */
export const PAGE_ROWS_MAX = 32_768;
/** Bytes of one data page before compression: strings beyond it are cut into several pages; a single longer string is one page. */
export const PAGE_BYTES_MAX = 4 * 1024 * 1024;

/** Rows of a row group: 13 pages; four groups in a file of a million rows, so that two readers share it evenly. */
export const ROW_GROUP_ROWS = 262_144;

/** Dictionaries of all open column chunks, bytes: 10 text columns x 19 MB (131,072 entries); beyond it a column is written plain. */
export const DICTIONARIES_BYTES_MAX = 192 * 1024 * 1024;

/** Rows after which a raw epoch is cut: 40-60 MB compressed. */
export const EPOCH_ROWS_MAX = 1_000_000;
/** Compressed bytes after which an epoch is cut: bounds what is held in memory until then. */
export const EPOCH_BYTES_MAX = 256 * 1024 * 1024;

/** Days in one cut, each a file of its own: beyond it the cut comes now, and rows wait in their images until their days are written. One record may exceed it. */
export const EPOCH_DAYS_MAX = 64;

/**
 * Files of one recorded epoch, and of one Iceberg snapshot: 70 ms of manifest for a table of 8 columns. What is cut at once with more files,
 * a record of events on thousands of days, is recorded as several epochs in one transaction and committed one after the other.
 */
export const EPOCH_FILES_MAX = 1024;

/** Age of the oldest row after which an epoch is cut, µs: raw events, and what views put out. */
export const RAW_EPOCH_AGE_US = 10_000_000;
export const OUTPUT_EPOCH_AGE_US = 3_000_000;

/** Iceberg: snapshots kept at least, and for how long, ms. 1 h at a commit each 10 s: 360 snapshots, 250 KB of metadata. */
export const SNAPSHOTS_KEPT = 100;
export const SNAPSHOTS_KEPT_MS = 3_600_000;

/** Older metadata files kept beside the current one: a reader that has just resolved one still finds it. */
export const METADATA_FILES_KEPT = 100;

/** Manifests of one snapshot before small ones are merged, and the entries that a merged one may have (about 1 MB of Avro). */
export const MANIFESTS_MAX = 32;
export const MANIFEST_ENTRIES_MAX = 4096;

/** Attempts of one commit when other writers commit to the same table at the same time; then it waits for the next turn. */
export const COMMIT_ATTEMPTS_MAX = 16;

/** Decode memory: 33 MB of slots, 80 MB of images, decoder tables and row references. 256 MB leave room for wide schemas. */
export const DECODE_MEMORY_BYTES_MAX = 256 * 1024 * 1024;

/** Fold memory: 1 M groups with sketches take some 300 MB; 4 GB is what WASM addresses. */
export const FOLD_MEMORY_BYTES_MAX = 65_535 * 65_536;

/** Requests whose bodies make one record: their outcomes travel in one message. */
export const RECORD_REQUESTS_MAX = 1024;

/** How far the clock may stand behind the log's last record at a start; beyond it the start is refused. Steps of NTP are below. */
export const CLOCK_BEHIND_US_MAX = 60_000_000;

/** Questions that run at a time, each with a DuckDB of its own: two cores, and two more so that endless ones do not hold up short ones. */
export const QUERY_RUNNING_MAX = 4;
/** Questions that wait for a place; beyond it 503 with Retry-After. Ten heavy clients with several requests each wait, none fails. */
export const QUERY_WAITING_MAX = 64;
/** ms that a question waits for its place: 64 waiting / 4 running x 10 s of the longest. Beyond it 503. */
export const QUERY_WAIT_MS_MAX = 60_000;

/** ms that a question runs unless the configuration says otherwise; then it is interrupted and told so (408). */
export const QUERY_TIMEOUT_MS = 30_000;

/** ms after the timeout at which the child is killed: an interrupt ends joins and sorts within 30 ms, a long call not at all. */
export const QUERY_KILL_GRACE_MS = 2_000;

/**
 * Least memory of a question for each of its threads, as DuckDB counts it: with it a join and a grouping of a million rows still end, by
 * spilling; with half of it they do not. `query.memory_limit` is shared by QUERY_RUNNING_MAX questions: 128 MB at least with two threads.
 */
export const QUERY_THREAD_BYTES_MIN = 16 * 1024 * 1024;

/** Most threads of a question: beyond it a typing error is likelier than a machine. */
export const QUERY_THREADS_MAX = 256;

/** Temporary files of one question: four times its memory. Beyond it 400. */
export const QUERY_TEMP_BYTES_MAX = 1024 * 1024 * 1024;

/**
 * Resident memory of the query child beyond `query.memory_limit`, of which DuckDB counts only a part: 110 MB at rest, 384 MB of the log's
 * tail, four answers of 64 MB twice over. Beyond both together the child is killed.
 */
export const QUERY_RSS_BEYOND_BYTES_MAX = 1024 * 1024 * 1024;

/**
 * Resident memory of a query child without work; one that holds more after QUERY_IDLE_MS is replaced by a fresh one (90 to 110 MB, ready in
 * 0.2 s): with the parent's 100 MB that keeps the 250 MB at rest.
 */
export const QUERY_REST_RSS_BYTES_MAX = 130 * 1024 * 1024;

/** Bytes of one answer, in the format asked for; larger: 400 with advice. Four of them: 256 MB. */
export const QUERY_ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/** Rows of one answer: 64 MB at 16 bytes a row of JSON. */
export const QUERY_ANSWER_ROWS_MAX = 4_000_000;

/**
 * Bytes of log records that the child keeps decoded between questions: a million rows at 310 bytes. When full the rest is read from the
 * log by every question anew.
 */
export const QUERY_TAIL_BYTES_MAX = 384 * 1024 * 1024;

/** Payload bytes of one read of the log by the child: some 50,000 rows, 10 ms on its event loop. */
export const QUERY_TAIL_READ_BYTES = 16 * 1024 * 1024;

/** ms without a question after which the child forgets decoded records and closes all DuckDBs but one: 20 polls of a dashboard. */
export const QUERY_IDLE_MS = 10_000;

/** Questions whose text is remembered with what it reads, 0.5 to 3 ms of parsing each: dashboards of some 20 charts. 2 MB of text at most. */
export const QUERY_TEXTS_KEPT = { countMax: 256, charactersMax: 1024 * 1024 };

/** Length of what one call of `repeat`, `range` and their like gives: 100,000 take a millisecond. */
export const QUERY_CALL_LENGTH_MAX = 100_000;

/** Product of the text lengths in one call of an edit distance: 1,000 x 1,000 take 20 ms. */
export const QUERY_CALL_PRODUCT_MAX = 1_000_000;

/** Bytes of one event; larger ones are refused as too_large. A quarter of an image, so that a record of one event always fits. */
export const EVENT_BYTES_MAX = 1024 * 1024;
/** Raw bytes that a dead letter keeps: all of nearly every event, the beginning of a giant one. */
export const REJECT_RAW_BYTES_MAX = 65_536;

/** Rejects of one body: 70 ms of the engine at 7 µs each, where 16 MB of `1,` would take a minute. What follows is one more, unread. */
export const BODY_REJECTS_MAX = 10_000;
/** Rejects of one record, and their raw bytes; beyond either the body goes on in the next record: 4 MB, as much as an image. */
export const RECORD_REJECTS_MAX = 4096;
export const RECORD_REJECT_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Page of state.db, bytes. 157 MB of 64 KB state pages at 4, 16, 64 KB: saved in 560, 360, 300 ms, loaded in 81, 74, 60 ms; readers'
 * rows and small outputs cost a page each, which speaks for the middle.
 */
export const STATE_PAGE_BYTES = 16_384;

/** Bytes that state.db's WAL keeps after a checkpoint; a larger one is cut back: 10 s of dirty pages at 100 MB fit mostly. */
export const STATE_WAL_BYTES_MAX = 64 * 1024 * 1024;

/** Decoded bytes of log records read at a time by a replay or the raw export: some 60 records of 1,000 clicks. */
export const REPLAY_READ_BYTES = 16 * 1024 * 1024;

/** How long a question waits for the views to fold what it asks for, µs; then 503 naming where they stand. */
export const PIN_WAIT_US = 5_000_000;

/**
 * Longest pause between two pictures of the open windows, µs. Otherwise the pause is nine times what the last one took of the engine's thread, so
 * that they take a tenth of its time; one of 90 ms (a million groups) is made every 0.9 s, and writing it takes as long as the disk wants:
 * within the PIN_WAIT_US of a question.
 */
export const PICTURE_PAUSE_US_MAX = 2_000_000;

/** Rows of one output image: as many as a data page of the table takes (PAGE_ROWS_MAX). A window with more closes in several images. */
export const OUTPUT_ROWS_MAX = 32_768;
/** Bytes of one output image: 32,768 rows of 2 KB. An image of larger rows has fewer of them. */
export const OUTPUT_IMAGE_BYTES_MAX = 64 * 1024 * 1024;

/** Pages of 16 KB for open windows: FOLD_MEMORY_BYTES_MAX less 256 MB of scratch. Before a record might not fit the largest view is suspended. */
export const FOLD_PAGES_MAX = 245_752;

/** Decoded bytes of the log that the export takes in at a time: some 20 records of 1,000 clicks, a few ms. */
export const EXPORT_READ_BYTES = 4 * 1024 * 1024;

/** How often ledgers of readers without rows follow the log, µs: a transaction each. */
export const EXPORT_IDLE_ADVANCE_US = 5_000_000;

/** Declared members of a stream: four words of validity bits a row in the decode kernel, and some for `attrs`. */
export const EVENT_COLUMNS_MAX = 256;
/** Symbols of an enum: their codes in a batch take 2 bytes each of the 4 KB behind the decode kernel's gathering room. */
export const ENUM_SYMBOLS_MAX = 1024;

/** How long requests in work may take to finish at shutdown, ms. */
export const DRAIN_MS = 10_000;

// A table that cannot be written: the first wait until it is tried again, and the longest; a full disk is not helped by a try every 50 ms.
export const TABLE_RETRY_US_MIN = 1_000_000;
export const TABLE_RETRY_US_MAX = 30_000_000;

// Files of a table that are written in one turn of the export: about 1 ms each with its sync, so pins wait 0.2 s for three tables at most.
export const EXPORT_FILES_PER_TURN = 64;

/**
 * Bytes of outputs that no ledger covers, all views together: a million closed rows of 128 bytes, in the engine's memory and (compressed)
 * in the export's. At the bound views fold no further, the log takes what comes, until tables have taken some. The record that reaches
 * it may go beyond it by all that it closes.
 */
export const PENDING_OUTPUT_BYTES_MAX = 128 * 1024 * 1024;

/** Decoded bytes of the log that views read at a time when they catch up: some 5 records of 1,000 clicks, 0.6 ms. */
export const BACKLOG_READ_BYTES = 1024 * 1024;

/** How long corrections of one view are gathered, µs of received time, and how many rows at most: their windows stay in memory so long. */
export const CORRECTIONS_EVERY_US = 1_000_000;
export const CORRECTED_ROWS_MAX = 8192;

/**
 * Closed windows (of hops: panes and marks) that late events may correct, of all views. Beyond `pagesKept` (384 MB: three hours of minutes with 10,000 groups of 200 bytes)
 * the ones that were touched longest ago leave with a checkpoint, `leaveBytesMax` in each; beyond `pagesMax` that could leave views fold no further
 * until one is taken. Views' other state has all pages but `pagesReserved`: pagesMax, and 4 for each corrected row and each row of a record.
 * On disk a window is in parts of `partGroups` at most, some 5 KB each, and comes back by parts. One of more than `packBytesMax` (scratch) stays.
 */
export const CLOSED_WINDOWS = {
  pagesKept: 24_576,
  pagesMax: 32_768,
  pagesReserved: 98_304,
  leaveBytesMax: 64 * 1024 * 1024,
  packBytesMax: 96 * 1024 * 1024,
  partGroups: 64,
  bitsMax: 16,
} as const;

/**
 * Age of the oldest row after which an epoch with corrections is cut, µs. Each may write the files of all windows anew that late events
 * touched: 120 windows of 10,000 rows are 24 MB and 2 s of a core, which a minute holds 30 times.
 */
export const CHANGES_EPOCH_AGE_US = 60_000_000;

/** Corrections are gathered for so many times `export.interval` (10 s), CHANGES_EPOCH_AGE_US at most. */
export const CHANGES_EPOCH_INTERVALS = 6;
/** Bytes of images that such an epoch holds until it is cut: an eighth of PENDING_OUTPUT_BYTES_MAX. */
export const CHANGES_EPOCH_BYTES_MAX = 16 * 1024 * 1024;

/** Rows that `millrace preview` prints, and rows with differences that `millrace verify` lists of a view: what fits on a few screens. */
export const ROWS_SHOWN_MAX = 100;
/**
 * Source partitions of one stream that the watermark can tell apart: each record looks at all of them, 10 µs for as many. An idle one
 * gives way to a new one; when none is idle a new one is refused.
 */
export const SOURCE_PARTITIONS_MAX = 1024;

/** Bytes of a source partition's name: a host name or a UUID fits; it is in the header of every record of it. */
export const PARTITION_NAME_BYTES_MAX = 128;

/** Longest `late.allowed`, µs: 7 days. What of it is not in memory is on disk. */
export const LATE_ALLOWED_US_MAX = 7 * 86_400_000_000;

/** Bytes of events that a rehearsal (`millrace test`, `preview`) takes in at once: 1,000 events of 4 KB; a longer event is refused there. */
export const REHEARSAL_BODY_BYTES_MAX = 4 * 1024 * 1024;

/** Events that `millrace preview` reads of the past at a time: 20 MB of text at 400 bytes, of the 64 MB that an answer may have. */
export const PREVIEW_PAGE_ROWS = 50_000;

/** Events of sessions that verify reads at a time: 20 MB of text at 100 bytes, of the 64 MB that an answer may have. */
export const VERIFY_PAGE_ROWS = 200_000;

/** How often verify begins anew with a view over sessions, whose questions must all be of one position. */
export const VERIFY_ATTEMPTS_MAX = 5;
/** What `reconcile` computes together: windows with late events, and events in them (250 MB as rows of JavaScript). One window may have more. */
export const RECONCILE_CHUNK_WINDOWS = 1024;
export const RECONCILE_CHUNK_EVENTS = 250_000;

/** Bytes of the rows that one record reconciles: 100,000 rows of 80 bytes; a third more as text in the log. A window with more is skipped. */
export const RECONCILE_ROWS_BYTES_MAX = 8 * 1024 * 1024;
/** Bytes that a savepoint reads, writes and syncs at once: some 10 ms of a disk, after which the log's syncs have their turn. */
export const SAVEPOINT_PIECE_BYTES = 4 * 1024 * 1024;
