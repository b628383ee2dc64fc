"""Every error code in words: what it means, why it happens, how it looks, what cures it.

`docs/reference/errors.md` is generated from here; a test proves that the table holds the codes in use and no others. The
first digit says where to look: 1 the command line, 2 definitions, 3 data, 4 the store or the machine, 5 a request to the
online store, 9 the program itself. Exit code and HTTP status follow from the error's class (`featurestore.errors`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class ErrorCode(NamedTuple):
    """title: a few words. cause: what must have happened. example: what is printed. cure: what to do."""

    title: str
    cause: str
    example: str
    cure: str


CODES: Mapping[str, ErrorCode] = {
    "FS100": ErrorCode(
        "The command line cannot be read",
        "A command or option does not exist, is missing, or has a value of the wrong kind.",
        "no such command 'buidl' · known: init, check, compile, … · try featurestore build",
        "`featurestore COMMAND --help` lists the options, with an example.",
    ),
    "FS101": ErrorCode(
        "Unknown service or view",
        "The name is not among the definitions in `registry/`.",
        "unknown feature service 'fraud_v2' · known: fraud_v1 · try fraud_v1",
        "Write the name as defined; a definition must be bound at module level or be reachable from one that is.",
    ),
    "FS102": ErrorCode(
        "An option has no such value",
        "An engine, dialect, include, row count or memory size that does not exist was asked for.",
        "unknown include 'statuses' · known: status, event_timestamp",
        "Take one of the known values.",
    ),
    "FS103": ErrorCode(
        "Not an instant",
        "A time was given without its offset from UTC, or not as ISO 8601.",
        "instant '2026-01-31T13:45:00' has no offset from UTC · try 2026-01-31T13:45:00Z or 2026-01-31T13:45:00+01:00",
        "Add `Z` or an offset such as `+01:00`: the machine's own zone never counts.",
    ),
    "FS104": ErrorCode(
        "The folder is taken",
        "`init` makes a project in a new or empty folder only.",
        "shop is not empty: it holds 'notes.txt' · try an empty folder",
        "Name another folder.",
    ),
    "FS105": ErrorCode(
        "Not a spine",
        "`build_training_set` got an object that holds no rows.",
        "a dict is no spine · try a path, or a pyarrow, Polars, pandas or DuckDB table",
        "Give a path, or a frame of one of the libraries named.",
    ),
    "FS106": ErrorCode(
        "The output cannot be written so",
        "The suffix is neither .parquet nor .csv, the folder is missing, or CSV cannot hold a column's type.",
        "unknown kind of output 'train.txt' · known: .parquet, .csv · try train.txt.parquet",
        "Name a .parquet file in a folder that exists.",
    ),
    "FS107": ErrorCode(
        "No project, or wrong settings",
        "No featurestore.toml was found, or one of its keys (or of FEATURESTORE_… in the environment) is unknown, "
        "of the wrong type, or of a newer format; or the manifest to serve is none.",
        "no featurestore.toml in this folder or above · try featurestore init DIR, or --project DIR",
        "Run within a project, name it by `--project`, or mend the setting named.",
    ),
    "FS108": ErrorCode(
        "A watermark in the future",
        "`materialize --known-before` lies after now: facts of that time cannot be known yet.",
        "--known-before 2030-01-01T00:00:00.000000Z is in the future · try an instant that is past",
        "Leave the option away (it means now), or give a past instant.",
    ),
    "FS109": ErrorCode(
        "The view stays offline",
        "A view with `online=False` was to be materialized.",
        "view 'raw_events' says online=False · in registry/views.py:12, feature view 'raw_events'",
        "Take `online=False` away, or leave the view out.",
    ),
    "FS110": ErrorCode(
        "Not a label column",
        "`--label` names a column the spine does not have, or one that is a join key, a request column or as_of.",
        "the spine has no label column 'labl' · known: customer_id, as_of, label · try label",
        "Name the spine's label column.",
    ),
    "FS111": ErrorCode(
        "sql/ is stale",
        "`compile --check` found that the committed SQL is not what the definitions say.",
        "sql/ is stale: 2 of its files are not what the definitions say · in plan/fraud_v1.txt · try featurestore compile",
        "Run `featurestore compile` and commit what it changed, after reading it.",
    ),
    "FS121": ErrorCode(
        "Not in the open without keys",
        "`serve` was to bind an address that other machines reach, and no API keys are configured.",
        "0.0.0.0 can be reached by others, and this server has no API keys · try featurestore keys add NAME, and …",
        "Make a key by `featurestore keys add NAME` and set `[server] api_keys`; or bind 127.0.0.1.",
    ),
    "FS122": ErrorCode(
        "The file of API keys cannot be read",
        "The file that `[server] api_keys` names is missing, is no such file, or has a newer format.",
        "there is no file of API keys · in keys.toml · try featurestore keys add NAME",
        "Write it by `featurestore keys` only. A running server keeps the keys it read before.",
    ),
    "FS123": ErrorCode(
        "No such API key, or not another one",
        "`featurestore keys` got a name, id, scope or service it cannot use, or a third key for one name.",
        "'scorer' has 2 keys, the most at a time · known: 1f0c9b7a, 77aa01c2 · try featurestore keys revoke 1f0c9b7a",
        "`featurestore keys list` shows what there is; revoke the old key first.",
    ),
    "FS131": ErrorCode(
        "Online answers are not the offline truth",
        "`verify` asked the online store and its source files the same, and found cells that differ.",
        "3 of 11,000 cells differ: card_payments · try featurestore materialize --full",
        "Read the examples: each names key, instant, feature, both answers, and the cause where it can be told. Make the views "
        "anew with `featurestore materialize --full`; if cells differ again, please report it.",
    ),
    "FS132": ErrorCode(
        "Nothing could be verified",
        "Not one cell could be compared: the files the store was made from are gone or changed, or it answers by other "
        "definitions than the registry's.",
        "nothing could be verified: card_payments is unverifiable · try featurestore materialize",
        "Materialize, so that the store's source files are those that are there, then verify again.",
    ),
    "FS133": ErrorCode(
        "A training set is not what its manifest says",
        "`rebuild --verify` could not build it as it was, because a file, push log, spine or definition is gone or another; or "
        "it built other bytes; or the set beside the manifest is not the one that was built.",
        "train.parquet.manifest.json: the set cannot be built as it was: data/payments/2025-02.parquet: changed (source …)",
        "Put back what the message names. If nothing has changed and cells differ, please report it.",
    ),
    "FS134": ErrorCode(
        "Two training sets differ",
        "`diff` found rows, columns or cells that are in one only, or another in each.",
        "the two differ: 76 cells in 5 columns · try featurestore rebuild … --verify",
        "Read the causes: each column says what can explain it. `unexplained` cells of sets that were only built are a defect.",
    ),
    "FS136": ErrorCode(
        "A training set depends on what its rows may not see",
        "`prove` touched source rows that count only after the rows of the spine asked, and cells moved; or it shuffled rows, "
        "and bytes did.",
        "3 cells moved: amount_sum_7d (changed, by customer_id)",
        "Read the first cells that moved: each names feature, row, key, instant, and the cell before and after. Nobody's "
        "definition can cause this: please report it with the command line, which repeats it, and the definition of the view.",
    ),
    "FS137": ErrorCode(
        "Nothing could be proven",
        "No probe touched a source row that counts after an instant of the spine, or no feature moved even where rows that are "
        "seen were touched.",
        "nothing could be proven of fraud_v1: no source row counts after any instant of the spine",
        "Take a spine whose instants lie within the time that the sources cover.",
    ),
    "FS138": ErrorCode(
        "Influence is asked of features",
        "A label looks ahead by intention; `influence` tells which source rows moved what a model reads.",
        "'chargebacks_30d' is a label, which looks ahead · known: card_country, amount_sum_7d · try a feature",
        "Name a feature of the service, or add one over the same source.",
    ),
    "FS139": ErrorCode(
        "The rows in reach do not give the value",
        "`influence` found other rows in reach of a value than those it is made of, so that nothing it said could be believed.",
        "the rows in reach of 'amount_sum_7d' give 3.0 in spine row 7, and all rows 4.0 · try a report",
        "Please report it, with the definition of the view.",
    ),
    "FS140": ErrorCode(
        "A source cannot be pushed to",
        "The source declares no `row_key` (or is static), so that the row that follows in a file would be a second fact; or a "
        "column of it has a name that a push log needs.",
        "source 'clicks' cannot be pushed to: without row_key the row that follows in a file would be a second fact",
        "Declare `row_key=[…]`: the columns by which the row in the file is known again.",
    ),
    "FS150": ErrorCode(
        "The training set is not what could have been known",
        "`featurestore audit` found cells that are not the value of their feature at their row's as_of, rows too many or too "
        "few, columns that are missing or nobody's, or training rows that meet the rows they are tested on.",
        "14 of its cells are leaks: future 12, late_known 2 · in train.csv",
        "Build the set with `featurestore build`, or mend what made it: the examples name the source rows.",
    ),
    "FS151": ErrorCode(
        "Nothing is written over",
        "`rebuild` would have to write over a file with other bytes, or a manifest of another set, or in another kind of file.",
        "train.parquet is there, and other bytes than were built now: it is left as it is · try --output with another name",
        "Give `--output` a name that is free, with the suffix of the set; or only `--verify`.",
    ),
    "FS152": ErrorCode(
        "Rows cannot be matched",
        "`diff` does not know by which columns rows belong together, or one file does not have them.",
        "the two have other rows, and no manifest says which columns are the keys · try --keys …",
        "Name the columns by `--keys` and `--as-of-column`, or keep manifests beside their sets.",
    ),
    "FS153": ErrorCode(
        "Not a split",
        "The options of a split do not go together, lack one, or are no instant, duration or share.",
        "a split by group needs the columns that name an entity · try by='customer_id'",
        "`--split time` takes --test-from, --validation-from, --embargo, --label-window and --split-by; `group` takes "
        "--test-share, --validation-share, --seed and --split-by; `random` the same without --split-by.",
    ),
    "FS160": ErrorCode(
        "Not a profile",
        "The file is missing, is none that a build or a run has written, cannot be read, or is of a newer featurestore.",
        "the file is no profile · in train.parquet.profile · try featurestore profile FILE",
        "Build the set again, or give the training set itself: its profile is then computed.",
    ),
    "FS161": ErrorCode(
        "No such column to profile",
        "A feature or column to profile or to part rows by is not in the table or profile, or there is no column of instants.",
        "the profile has no slices by 'country' · try day",
        "Name a column that is there; slices of training sets are declared by `FeatureService(slices=[…])`.",
    ),
    "FS162": ErrorCode(
        "A service cannot be sliced by this column",
        "A column of `FeatureService(slices=[…])` is neither in the spine nor among the features, or is of a type whose values "
        "are no parts: slices are text, integers, bool, dates or binary.",
        "service 'fraud_v1' is sliced by 'contry', which neither the spine nor the service has · try country",
        "Correct the name in `slices=[…]`, or add the column to the spine.",
    ),
    "FS163": ErrorCode(
        "Profiles of different types",
        "Profiles are merged in which a feature has different types.",
        "feature 'amount' is int64 in one profile and double in another · try profiles of one definition",
        "Merge profiles of the same definition only.",
    ),
    "FS164": ErrorCode(
        "What was served is not the offline truth",
        "`verify --log` replayed the serve log; of some feature a greater share of cells differs than `[monitor] skew` says.",
        "12 of 9,000 served cells differ from the offline truth: fraud_v1: count_1h · try featurestore verify",
        "Read the examples: each names key, instant, what was served, what is true, and the cause where it can be told. "
        "`featurestore verify` says whether the store is wrong now.",
    ),
    "FS165": ErrorCode(
        "No served cell could be compared",
        "There is no serve log, or none since `--since`; or every row of it is unverifiable: its keys are hashes, the "
        "definition has changed, or the source files of its generations are gone.",
        "no served cell could be compared: there is no serve log · try [serve_log] on = true, and serve",
        "Turn the log on; the reasons for rows that are there are told beside it.",
    ),
    "FS166": ErrorCode(
        "An alert is open",
        "`monitor --once` found something that alerts, or that did and could not be looked at this time.",
        "1 alert is open: freshness of view card_payments · try featurestore monitor --once --json, which says what is wrong",
        "Read the results: each names what was looked at, its value and threshold, and says in a sentence what is wrong.",
    ),
    "FS167": ErrorCode(
        "Not fresh",
        "A watermark is older than `[monitor] freshness` allows, or a source does not send as it usually does: nothing came "
        "in, rows come late, too few or too many happened, or a day is missing.",
        "1 alert: readings: the feed stopped: 284m since the last row, known at …; usually at most 40m",
        "Look at what sends the rows; `featurestore materialize` if rows wait. See docs/how-to/freshness.md.",
    ),
    "FS168": ErrorCode(
        "Not a policy",
        "The file of `should-retrain --policy` is no TOML, or a rule has an unknown kind or key, lacks its threshold or "
        "window, or has one of the wrong type.",
        "rule 2, of kind 'drift', has no window · in retrain.toml · try window = '7d'",
        "Write the rule as docs/how-to/retrain.md shows.",
    ),
    "FS169": ErrorCode(
        "Retrain",
        "The rules of a policy say that it is time to train anew.",
        "retrain: the training set is 1104h old, by what it could know; threshold 30d",
        "Build a training set, train, and name the new set in the policy.",
    ),
    "FS170": ErrorCode(
        "Nothing of that name",
        "`lineage` was asked about a name that no source, view, service, feature or column has.",
        "nothing named 'card_payment' · known: card_payments, customers, … · try card_payments",
        "A feature is VIEW.FEATURE, a column SOURCE.COLUMN; the name of a feature alone will do where one view has it.",
    ),
    "FS171": ErrorCode(
        "A name of several things",
        "`lineage` was asked about a name that, say, a source and a view have, or features of several views.",
        "'payments' names 2 things · known: source payments, view payments · try --kind source",
        "Say which by `--kind`, or write VIEW.FEATURE.",
    ),
    "FS201": ErrorCode(
        "Not a name",
        "Names begin with a lower-case letter, go on with letters, digits and single underscores, and have at most 63.",
        "feature view name 'Card-Payments' is not a name: … · in registry/payments.py:9 · try card_payments",
        "Take the name proposed, or another of that form.",
    ),
    "FS202": ErrorCode(
        "An argument of the wrong kind",
        "A definition got a value that its argument cannot take.",
        "created_null='sometimes' is not a choice · in registry/payments.py:9, source 'payments' · known: 'never', 'event'",
        "The definition's docstring says what each argument takes.",
    ),
    "FS203": ErrorCode(
        "Unknown column, feature or join key in a definition",
        "A definition names something the source, view or entity does not have.",
        "source 'payments' has no column 'amout' · in registry/payments.py:27 · known: amount, status · try amount",
        "Write the name as the data or the definition has it; case counts.",
    ),
    "FS204": ErrorCode(
        "Options that contradict each other",
        "Two options of a source or view cannot both hold, or one needs another; above all, a source needs "
        "`event_timestamp` or `static=True`.",
        "a source without event_timestamp has no history to join · try event_timestamp='…', or static=True …",
        "Choose what is meant. Without an event time a join would see the future.",
    ),
    "FS205": ErrorCode(
        "A feature needs a name",
        "An expression, a `where`, or two aggregates alike give no name of their own.",
        "latest('amount * 2') is an expression and needs a name · try name='…'",
        "Add `name=`.",
    ),
    "FS206": ErrorCode(
        "A window is missing or empty",
        "An aggregate has no `window=`, an empty list of them, or one of length 0.",
        "agg.sum needs a window · try window=\"7d\", or window=None for the whole past",
        "Give a window; `None` means the whole past.",
    ),
    "FS207": ErrorCode(
        "Two things of one name",
        "Two features, or a feature and a key, would be columns of one name. Case does not count.",
        "two features of the service are named 'amount_sum_7d' · try view.with_prefix('…')",
        "Rename one by `name=`, `.with_prefix` or `.alias`.",
    ),
    "FS208": ErrorCode(
        "Entities that share a join key",
        "Two entities of a view have a join key of the same name.",
        "two entities share a join key: id · try rename one of them",
        "Give each entity join keys of its own; `join_key_map` says which source column holds each.",
    ),
    "FS209": ErrorCode(
        "Defined twice",
        "Two definitions of one kind have one name.",
        "two definitions of kind feature view are named 'card_payments' · in registry/a.py:3 and registry/b.py:7",
        "Rename one, or import it instead of writing it again.",
    ),
    "FS210": ErrorCode(
        "The registry cannot be loaded",
        "The folder is missing, or one of its Python files cannot be imported.",
        "cannot import the registry: NameError: name 'latst' is not defined · in registry/payments.py:31",
        "Mend the line named.",
    ),
    "FS211": ErrorCode(
        "Not a duration",
        "A duration is a whole number and one of s, m, h, d, w. Months and years have no fixed length and are refused.",
        "ttl '3 months' has no fixed length: months and years differ · try days, such as '30d' or '365d'",
        "Write it in days or weeks.",
    ),
    "FS212": ErrorCode(
        "Unknown time zone",
        "The name is none of the IANA time zones.",
        "unknown time zone 'CET+1' · try an IANA name, such as 'Europe/Paris'",
        "Use an IANA name.",
    ),
    "FS213": ErrorCode(
        "Unknown type",
        "A type in `schema=` does not exist, or a column's type (struct, map, …) is not one a feature can have.",
        "unknown type 'varchar' · known: bool, int8, …, string",
        "Use Arrow's names; write nested columns as plain ones.",
    ),
    "FS214": ErrorCode(
        "Not an expression",
        "The text is not one expression of scalar SQL.",
        "cannot read expression 'amount >': … · try scalar SQL",
        "Write one expression over one row's columns.",
    ),
    "FS215": ErrorCode(
        "Not allowed in an expression",
        "Expressions read one row. Clocks, randomness, aggregates, windows, subqueries and unknown functions are refused, "
        "because the same row would not always give the same value.",
        "now() is not allowed in an expression ('now() - paid_at')",
        "Use an operation from docs/reference/expressions.md; aggregate with `agg`.",
    ),
    "FS216": ErrorCode(
        "Types do not go together in an expression",
        "An operation got operands it does not take, or a `where` is not true or false.",
        "where is double, not bool · try a comparison, such as amount > 10",
        "Add a CAST or a comparison.",
    ),
    "FS217": ErrorCode(
        "The aggregate cannot take this type",
        "A sum of text, for example.",
        "sum cannot take string (currency) · try a number, or a CAST",
        "Aggregate a number, or CAST to one.",
    ),
    "FS218": ErrorCode(
        "Unknown aggregate",
        "`agg` has no aggregate of that name.",
        "unknown aggregate 'total' · known: count, sum, count_distinct",
        "Take one of those known.",
    ),
    "FS219": ErrorCode(
        "A column cannot play its part",
        "A join key is a float or nested, a time column is not a time (or lacks `time_unit=`, `time_format=`), or a deleted "
        "column is not bool.",
        "time column 'paid_at' is int64 · try time_unit=\"us\" (or s, ms, ns)",
        "Declare how to read the column, or write it with another type.",
    ),
    "FS220": ErrorCode(
        "One column, keys of two types",
        "Two views of a service read one spine column as keys of different families.",
        "column 'id' is a key of type int64 and of type string · try with_join_key_map, …",
        "Map one of them to a column of its own by `.with_join_key_map`.",
    ),
    "FS221": ErrorCode(
        "A source would be seen without a boundary in time",
        "The static proof found a way from a source to the answer that passes no visibility. No definition should get here.",
        "source 'payments' reaches the answer without a boundary in time",
        "Report it with the definitions: it is a defect of this program, caught before it could leak.",
    ),
    "FS222": ErrorCode(
        "sql/manifest.json cannot be used",
        "Data files are absent, so types come from the manifest, which is damaged or of a newer format.",
        "the manifest cannot be read · in sql/manifest.json · try featurestore compile",
        "Restore it from git, or run `featurestore compile` where the data is.",
    ),
    "FS223": ErrorCode(
        "An aggregate's q or k",
        "A quantile's q is missing or outside 0 to 1, or the k of a k-list or histogram is missing or no whole number above 0.",
        "agg.quantile needs q, a number from 0 to 1, got 95 · in registry/views.py:19 · try q=0.95",
        'Give it: `agg.quantile("amount", q=0.95, window="7d")`, `agg.last_k("amount", k=3, window="7d")`.',
    ),
    "FS224": ErrorCode(
        "A pattern that does not mean the same everywhere",
        "Regular expressions are compared with the whole text by several engines, so that only what all of them agree on is "
        "allowed: literals, classes, groups, alternatives and quantifiers.",
        "the anchor ^ is not allowed in a pattern ('^c[0-9]+', at character 1) · try leave it out: the whole text is compared",
        "Write it with the constructs in docs/how-to/check-sources.md.",
    ),
    "FS228": ErrorCode(
        "Not an input of an on-demand view",
        "An on-demand view reads feature views and instances of them: no labels, no services, no other on-demand view; and it "
        "has no join keys of its own.",
        "input 'amount_vs_usual' is an on-demand view: one cannot read another · in registry/views.py:40, …",
        "Name the feature views it needs, with their key maps and prefixes, and write the expression out.",
    ),
    "FS229": ErrorCode(
        "A request column of two types",
        "Two on-demand views of a service take a request column of one name with different types.",
        "request column 'amount' is double and int64 · in registry/services.py:9 · try one type, or two names",
        "Declare one type in both, or give them names of their own.",
    ),
    "FS230": ErrorCode(
        "Not a label",
        "`label=` of a label view takes exactly one aggregate over one window after t: no latest value, list of windows, "
        "lifetime, offset or `time_since_…`.",
        "the window of label 'chargebacks' has no end, so it would never be mature · try window=\"30d\"",
        "Give one `agg.…(window=…)`; `gap=` lets the window begin later, and each further window is a label view of its own.",
    ),
    "FS231": ErrorCode(
        "A label among the features, or a feature among the labels",
        "A label tells what happens after t. As a feature it would be a leak, so label views go into `labels=` and nowhere "
        "else.",
        "'chargeback_30d' is a label view and cannot be among the features · try labels=[chargeback_30d]",
        "Move it to the other list of the service.",
    ),
    "FS240": ErrorCode(
        "A pattern that Spark is not trusted with",
        "Spark has Java's regular expressions, which try one way after the other. A pattern is taken if each character of a "
        "text tells how to go on, or if there are at most a million ways; any other could become slow on one text, or run out "
        "of stack. DuckDB takes every pattern.",
        "pattern '([a-z]+\\\\.)+[a-z]+' is not for Spark: a pattern that a text can match in more than a million ways · try a "
        "pattern in which each character tells what it belongs to",
        "Write what repeats so that its first character tells it from what follows, or build with DuckDB.",
    ),
    "FS300": ErrorCode(
        "A row of the spine has no instant",
        "as_of is NULL or cannot be read in some row.",
        "as_of column 'as_of' is NULL in row 17 (counted from 0) · try drop the row",
        "Drop or mend the row named.",
    ),
    "FS301": ErrorCode(
        "The spine cannot be read",
        "There is no such file, or it is neither Parquet nor (by its suffix) CSV.",
        "no spine file 'spine.parquet' · in spine.parquet · try a Parquet or CSV file",
        "Check the path (relative to the shell's folder); write the file again.",
    ),
    "FS302": ErrorCode(
        "A spine column of another type",
        "Keys compare within one family: integers, text, bool, date or binary. Text never matches a number. A request column "
        "of on-demand features has the type they declare, and values that it holds.",
        "key column 'customer_id' is string, but the source's is int64 · try CAST it to the source's type",
        "Cast the spine's column.",
    ),
    "FS303": ErrorCode(
        "A spine column is missing or is no key or time",
        "The spine lacks a join key, a request column or the as_of column, or holds floats or other values that can be "
        "neither key nor time.",
        "the spine has no key column 'customer_id' · known: customer, as_of · try customer",
        "Add or rename the column; `--as-of-column` names another as_of.",
    ),
    "FS304": ErrorCode(
        "Spine columns that clash",
        "Two columns, or a column and a feature, have one name. Case does not count.",
        "spine column 'card_country' has the name of feature 'card_country' · try rename the spine's column, …",
        "Rename the column, or prefix the view by `.with_prefix`.",
    ),
    "FS305": ErrorCode(
        "A column is not a time as declared",
        "Integers or text stand where a time is expected, without `time_unit=` or `time_format=`.",
        "a column of type int64 is not a time as declared · try time_unit= or time_format=",
        "Declare how they are to be read.",
    ),
    "FS306": ErrorCode(
        "The engine could not compute a value",
        "A value does not fit its type, or the engine failed.",
        "a value does not fit: Conversion Error: …",
        "Mend the value, or CAST in the definition; with `-v` the log says more.",
    ),
    "FS307": ErrorCode(
        "A sum leaves int64",
        "The sum of integers is beyond 64 bits; it is refused rather than wrapped or rounded.",
        "the sum 'bytes_sum_lifetime' leaves int64, first in spine row 3 · try a CAST to double in the definition",
        "Sum doubles or decimals: `agg.sum(\"CAST(bytes AS double)\", …)`.",
    ),
    "FS308": ErrorCode(
        "A static source with two rows of one key",
        "`static=True` means one row per key.",
        "static source 'countries' has 2 rows for key FR · try one row per key, or an event_timestamp",
        "Remove the duplicate, or declare when each row holds by `event_timestamp`.",
    ),
    "FS309": ErrorCode(
        "The engine returned rows out of order",
        "A check on the engine's result failed. No input should get here.",
        "the engine returned rows out of order for card_payments",
        "Report it: it is a defect, caught before it could mix up rows.",
    ),
    "FS321": ErrorCode(
        "No file matches",
        "A source's path or glob matches nothing.",
        "no file matches 'data/payments/*.parquet' · in registry/payments.py:8, source 'payments'",
        "Check the path, relative to the project folder.",
    ),
    "FS322": ErrorCode(
        "Files with different schemas",
        "A column is missing from a file, or has another type there than in the first file or in `schema=`.",
        "source 'payments': column 'amount' is string here and double in data/payments/2025-01.parquet · in …/2025-02.parquet",
        "Write the files with one schema; integer widths and text encodings may not differ either.",
    ),
    "FS323": ErrorCode(
        "Columns that differ in case only",
        "A file has two columns whose names differ in case only, or are the same.",
        "columns 'Amount' and 'amount' differ in case only, or are one · in data/payments.parquet",
        "Rename one in the file.",
    ),
    "FS324": ErrorCode(
        "Naive beside aware times",
        "One file of a source stores times with a zone, another without.",
        "source 'payments': times in 'paid_at' are naive in a.parquet and aware in b.parquet · try write them all with a zone",
        "Write all files with a zone.",
    ),
    "FS325": ErrorCode(
        "A source file cannot be read",
        "The file is truncated, damaged, or not Parquet.",
        "cannot be read as Parquet: Parquet magic bytes not found in footer · in data/payments/2025-02.parquet",
        "Write the file again.",
    ),
    "FS326": ErrorCode(
        "A file changed while it was read",
        "Size or time of a source file are not what they were when the run began.",
        "the file changed while it was read · in data/payments/2025-02.parquet · try run again",
        "Run again when writers are done; write files aside and rename them.",
    ),
    "FS327": ErrorCode(
        "More than half of the rows are left out",
        "One reason (such as a NULL event time) keeps most rows of a source from being facts.",
        "900 of 1000 rows of source 'payments' are left out: known_time_null (view 'card_payments')",
        "Mend the data or the declaration; `allow_left_out=True` if it is meant.",
    ),
    "FS328": ErrorCode(
        "Rows break an expectation that says fail",
        "The source declares what its rows must be, with action \"fail\", and some are not so. Nothing is written.",
        "3 rows of source 'payments' break: card_id matches c[0-9]{7} · in data/payments/2025-01.parquet row 17: 'x1', …",
        "Mend the rows that are named (rows count from 0); or action=\"quarantine\", if they may be left out.",
    ),
    "FS335": ErrorCode(
        "A file of a recorded source state is gone or changed",
        "What the online store was made from can no longer be read, so its answers cannot be compared with anything.",
        "a file that the online store was made from is gone · in data/payments/2025-02.parquet · try featurestore materialize "
        "--full",
        "Put the file back, or materialize anew from the files that are there. Add files, and do not rewrite old ones.",
    ),
    "FS340": ErrorCode(
        "A pushed row is wrong",
        "A column is missing, unknown or set by the log itself, a value is not of its column's type, a row key is NULL, or "
        "there are no rows or too many. Nothing of the push was taken.",
        "column 'amount' takes a number, got \"12\" · in row 3 (counted from 0) · try a value of that type, or null",
        "Mend the row and push again. Every column of the source is needed but the created timestamp and `deleted`.",
    ),
    "FS341": ErrorCode(
        "A pushed time cannot be",
        "An event lies beyond the clock by more than `[online] push_skew`, or a time lies outside the source's `time_range`.",
        "event time 2031-01-01T00:00:00.000000Z lies more than 5m beyond the clock, 2026-01-01T00:00:00.000000Z · in row 0 …",
        "Set the clock that wrote the event; or raise `[online] push_skew`. Nothing of the push was taken.",
    ),
    "FS342": ErrorCode(
        "Rows were pushed to a source that has no row key any more",
        "`.featurestore/push/` holds rows of the source, and its definition lost `row_key`.",
        "rows were pushed to source 'payments', which has no row_key: they would be facts a second time",
        "Declare `row_key` again, or remove the source's folder below `.featurestore/push/` if its rows are in files by now.",
    ),
    "FS343": ErrorCode(
        "A pushed row breaks an expectation",
        "The source says what its rows must be. A row that would stop a build or go to quarantine is not taken; no row of that "
        "push is.",
        "amount is -5.0, which breaks: amount between 0 and 100000 · in row 0 (counted from 0)",
        "Push a row that is as expected; or mend the expectation.",
    ),
    "FS361": ErrorCode(
        "No manifest of a training set",
        "The file is missing, is no manifest, was changed, or has a newer format; or a training set has none beside it.",
        "the manifest has format 3, this featurestore reads up to format 2 · in train.parquet.manifest.json",
        "Name a manifest that a build wrote, or a training set beside its manifest.",
    ),
    "FS362": ErrorCode(
        "A training set cannot be read",
        "The file is damaged, is not what its suffix says, or holds keys of another type than asked.",
        "the training set cannot be read: Parquet magic bytes not found in footer · in train.parquet",
        "Build the file again, or rebuild it from its manifest.",
    ),
    "FS363": ErrorCode(
        "A training set cannot be built as it was",
        "A source file, push log or the spine is gone or changed, or was a table in memory.",
        "the set cannot be built as it was: data/payments/2025-02.parquet: gone (source payments) · try put it back as it was",
        "Put back what is named; give the spine by `--spine FILE`.",
    ),
    "FS367": ErrorCode(
        "There is no such table",
        "No Delta log lies at the path, or the catalog knows no Iceberg table of that name.",
        "there is no Delta table data/payments · in registry/sources.py:8 · try the folder that holds _delta_log, …",
        "Correct path= (of the folder that holds _delta_log) or table= and catalog=.",
    ),
    "FS368": ErrorCode(
        "A table's log or metadata is broken",
        "What says which files make up a table cannot be read, or a file it names is gone or of another size.",
        "a file of version 3 of data/payments is gone: it was removed (VACUUM) · in data/payments/part-….parquet",
        "Read a newer version, or restore the files from a backup of the table.",
    ),
    "FS369": ErrorCode(
        "There is no such version or snapshot",
        "version=, snapshot= or as_of= names one that the table has not had, or does not keep any more.",
        "Delta table data/payments has no version 7: the newest is 2 · try a version that DESCRIBE HISTORY lists",
        "Name one that the table's history lists, or leave the option out to read the newest.",
    ),
    "FS370": ErrorCode(
        "A feature of a table that is not read",
        "The table says that reading it takes more than reading its files: column mapping, a newer format.",
        "Delta table data/payments needs reader feature typeWidening, which is not read · try rewrite the table without it, …",
        "Drop the feature by the engine that writes the table, or read an export of it.",
    ),
    "FS371": ErrorCode(
        "Rows of a table are deleted beside its files",
        "Deletion vectors (Delta) or delete files (Iceberg) say that rows of some files are no more.",
        "Delta table data/payments has deletion vectors: rows of its files are deleted, which is told beside the files",
        "Let the engine that writes the table rewrite those files: REORG … APPLY (PURGE), or rewrite_data_files.",
    ),
    "FS372": ErrorCode(
        "A file of a table does not hold what the table says",
        "A data file is not Parquet, tells no field ids, or has a column of a type that is not the table's.",
        "column 'key' is int64 in the table and string in a file of it · in data/payments/part-….parquet",
        "Rewrite the file by an engine that knows the table.",
    ),
    "FS373": ErrorCode(
        "A table has other columns than what is written to it",
        "Rows can be added to a table, or replaced in it, only where its columns are theirs, by name and type.",
        "table out/spending has column 'amount_sum_7d' as int64, and what is written to it as double",
        "Write to another table, or change the table by the engine that keeps it.",
    ),
    "FS374": ErrorCode(
        "A table was written by another meanwhile",
        "Between reading a table and writing to it somebody else committed what this does not go with. Nothing was written.",
        "Delta table out/spending was written by another meanwhile, and nothing was written to it: … · try run again",
        "Run again.",
    ),
    "FS376": ErrorCode(
        "A table of PostgreSQL cannot be read",
        "There is no such table, view, column or schema, the user may not read it, or `query=` is not a SELECT that runs.",
        "public.payments cannot be read: permission denied for table payments · in registry/payments.py:5, source 'payments'",
        "Name the table exactly as the database has it; grant SELECT on it to the user of the connection.",
    ),
    "FS377": ErrorCode(
        "A column of PostgreSQL is of a type that is no value here",
        "A view reads a column whose type has no exact counterpart, such as `numeric` without precision, or `interval`.",
        "column 'amount' of public.payments is numeric without precision and scale that a decimal has, which is no value here",
        "Cast it where it is read: `query=\"SELECT …, amount::numeric(18, 2) AS amount FROM …\"`, or a view that does so. "
        "Columns that no view reads may be of any type.",
    ),
    "FS378": ErrorCode(
        "A row of PostgreSQL holds a value that cannot be",
        "A decimal is NaN, a time that is read as a value is infinite, an array has several dimensions, or an expression of a "
        "view or query fails.",
        "public.payments holds a value that cannot be read: NaN in column amount",
        "Cast or leave it out in a view or by `query=`, such as `nullif(valid_to, 'infinity')`.",
    ),
    "FS379": ErrorCode(
        "A table was rewritten while it was read",
        "A partition was attached, or a table emptied or rewritten just as it was opened: its rows as they were cannot be had.",
        "payments_2026 was rewritten, or attached as a partition, while public.payments was read · try run again",
        "Run again. Changes of rows are no hindrance: what is read is of one moment.",
    ),
    "FS385": ErrorCode(
        "Instants that cannot be backfilled",
        "`--from` is not before `--to`, `--every` is 0, there are too many instants, or the last of them is in the future.",
        "--from 2026-02-01T00:00:00.000000Z is not before --to 2026-01-01T00:00:00.000000Z: there is no instant",
        "Give a stretch of the past; `--to` is exclusive, `--every` a length such as `1d`.",
    ),
    "FS386": ErrorCode(
        "A view that has no values at instants",
        "A label view looks ahead of its instant; the values of a static source are the same at every instant.",
        "view 'rules' is of a static source: its values are the same at every instant",
        "Labels come with a training set (`featurestore build`); of a static source, read the source.",
    ),
    "FS387": ErrorCode(
        "The output folder holds something else",
        "There are files in it that no backfill wrote, or the values of another view, or files laid out or included otherwise.",
        "'out' holds the values of view 'card_payments', not of 'merchant_profile'",
        "Take a folder for each view, and the same options each time.",
    ),
    "FS388": ErrorCode(
        "The manifest of a backfill cannot be read",
        "`_backfill.json` in the output folder was changed by hand, or written by a newer featurestore.",
        "the manifest has format 2, this featurestore reads up to format 1",
        "Use a newer featurestore, or write to another folder.",
    ),
    "FS389": ErrorCode(
        "Another backfill writes to the folder",
        "One run at a time holds an output folder; this one found it held.",
        "another backfill writes to 'out'",
        "Wait for the other run, or write to another folder. A run that was killed holds nothing.",
    ),
    "FS390": ErrorCode(
        "A threshold of drift that cannot be one",
        "`--threshold`, or `[drift] thresholds`, names a measure that does not exist or a value that is no number from 0.",
        "unknown measure 'kl' in the threshold of amount_sum_7d · known: ks, wasserstein_std, … · try ks",
        "Write FEATURE.MEASURE=VALUE with one of the known measures; `*` stands for every feature.",
    ),
    "FS391": ErrorCode(
        "Tests of drift need the extra `monitor`",
        "p-values are computed by scipy, and the classifier of all features by scikit-learn, which are not installed.",
        "tests of drift need scipy, which is not installed · try pip install 'featurestore[monitor]', or --no-tests …",
        "Install the extra, or ask with `--no-tests` for distances and thresholds alone.",
    ),
    "FS392": ErrorCode(
        "A side of a comparison, or a file of predictions, cannot be read",
        "The file is not there, is no Parquet or CSV, or a column of it holds what it should not.",
        "no file 'train.parquet' · in data/train.parquet · try a training set, a profile, or serve-log:SERVICE@FROM..TO",
        "Mend the path or the file.",
    ),
    "FS393": ErrorCode(
        "A column that is on neither side",
        "The label, a feature of `--threshold`, or the column of instants that windows need is not there.",
        "neither side has a label column 'lable' · known: amount_sum_7d, label · try label",
        "Take a name that is known, or say which column holds instants with `--as-of-column`.",
    ),
    "FS394": ErrorCode(
        "A stretch of the serve log that cannot be one",
        "After `serve-log:` stands no service, no window, or a service of which nothing was logged.",
        "'yesterday' is neither FROM..TO nor a length · try serve-log:fraud_v1@2026-01-01..2026-01-08, …",
        "Write `serve-log:SERVICE@FROM..TO` or `serve-log:SERVICE@7d`; `[serve_log] on = true` lets `serve` keep a log.",
    ),
    "FS395": ErrorCode(
        "Features have drifted",
        "`drift` found a difference that a threshold forbids, or that is neither chance nor a trifle. Exit code 1.",
        "drifted: amount_sum_7d, count_1h, all features together · in serve-log:fraud_v1@7d",
        "Look at the report of `--output`. A threshold of one's own says better than the default what matters.",
    ),
    "FS396": ErrorCode(
        "Predictions that cannot be judged",
        "The service has no such label, the file lacks a key, an instant or the score, or a metric does not fit the label.",
        "service 'fraud_v1' has no label view, so nothing says how its predictions came out · try labels=[…] on the service",
        "Give the service a label view, name the columns, and ask for metrics of classes or of numbers, not of both.",
    ),
    "FS397": ErrorCode(
        "Predictions were not good enough",
        "`performance` found a settled day that breaks a threshold. Exit code 1.",
        "1 of 30 days break a threshold; the first: auc 0.71 < 0.8 · in fraud_v2 on 2026-01-03",
        "Look at drift of the features and of the label about that day; train again.",
    ),
    "FS398": ErrorCode(
        "Windows that cannot be compared",
        "`--window` or `--step` is no length of time, leaves rows out, or makes too many windows; or the one goes alone.",
        "8,760 windows, and at most 500 are compared · try a longer --window or --step",
        "Take a longer window or step.",
    ),
    "FS401": ErrorCode(
        "The online store is being filled",
        "Another process is materializing into the same store.",
        "process 4711 is materializing into this store",
        "Wait for it. A process that died has given the lock up already.",
    ),
    "FS402": ErrorCode(
        "Nothing is materialized yet",
        "There is no online store, or a view has no generation in it.",
        "there is no online store yet · try featurestore materialize",
        "Run `featurestore materialize`.",
    ),
    "FS403": ErrorCode(
        "The online store's file is damaged",
        "The file is truncated or is none of ours.",
        "the online store's file is too short · in data.mdb · try remove it and run featurestore materialize",
        "Remove it and materialize again: everything in it comes from the sources.",
    ),
    "FS404": ErrorCode(
        "The online store has another format",
        "A newer featurestore wrote it.",
        "the online store has format 2, this featurestore reads up to format 1 · try a newer featurestore, or a new store …",
        "Use the newer version, or another `[online] path` and `featurestore materialize`.",
    ),
    "FS405": ErrorCode(
        "The disk is full",
        "There is no room for the output, the online store, or spilled data.",
        "the disk is full · in train.parquet · try free space; nothing was changed",
        "Free space, or move `[offline] temp_directory`, and give the command again: a build goes on with its finished "
        "partitions. What was there before stands.",
    ),
    "FS406": ErrorCode(
        "A limit of the online store",
        "Too many tables or readers, a key or name too long, or a snapshot held open while the store must grow.",
        "too many readers have the online store open at once · in .featurestore/online",
        "Close readers; the message names the limit.",
    ),
    "FS407": ErrorCode(
        "The system refused to read or write",
        "Permissions, a read-only disk, a store already closed, or an address that is taken.",
        "cannot write: Permission denied · in train.parquet",
        "Mend what the message names and run again.",
    ),
    "FS408": ErrorCode(
        "Forked while the online store was in use",
        "A process was forked during a look-up; its copy of the store cannot be used safely.",
        "this process was forked while the online store was in use · try the 'spawn' start method, …",
        "Start workers by `spawn`, or fork before the first look-up.",
    ),
    "FS409": ErrorCode(
        "The memory limit was reached",
        "The engine needed more than `memory_limit` and could not spill.",
        "memory limit reached: Out of Memory Error: … · try a higher memory_limit",
        "Raise `[offline] memory_limit` or `--memory-limit`.",
    ),
    "FS410": ErrorCode(
        "Another run went ahead",
        "A run lost its lock (its process was stopped for long, or the store lies on a disk shared by machines), and another "
        "one has published meanwhile. Nothing of the slower one is published: the watermark never goes back.",
        "another run of view 'card_payments' went ahead of this one, which changed nothing · try featurestore status",
        "Nothing is to be done; keep one schedule per store.",
    ),
    "FS411": ErrorCode(
        "Nothing to go back to",
        "`rollback` was asked of a view of which no former generation is kept.",
        "view 'card_payments' has no generation before number 7 · try featurestore materialize --full",
        "Mend the source and materialize; `[online] keep` says how many generations are kept.",
    ),
    "FS412": ErrorCode(
        "The online store cannot be asked",
        "Redis is down or slow, has come back empty, or may evict rows by itself.",
        "Redis does not answer: Connection refused · in redis 127.0.0.1:6379/0 · try again later",
        "Nothing in this process: it connects again by itself. After a loss of data run `featurestore materialize`.",
    ),
    "FS440": ErrorCode(
        "A push log is damaged",
        "A file below `.featurestore/push/` was changed, cut or removed by something else, or the disk returned other bytes.",
        "the push log is damaged: position 17 is missing · in segments/00000000000000000017.log · try restore …",
        "Restore the file from a copy. If the rows have come in files meanwhile, the source's folder may be removed.",
    ),
    "FS441": ErrorCode(
        "A push log has another format",
        "A newer featurestore wrote it.",
        "the push log has format 2, this featurestore reads up to format 1 · try a newer featurestore",
        "Use the newer version.",
    ),
    "FS442": ErrorCode(
        "A push log is being compacted",
        "Another process is compacting the same log.",
        "another process is compacting the push log of 'payments' · try wait for it",
        "Wait for it. A process that died has given the right up already.",
    ),
    "FS462": ErrorCode(
        "Spark finds no Java",
        "A session of our own starts a Java process, and there is no `java`, neither on PATH nor in JAVA_HOME.",
        "Spark needs Java 17, and there is no `java` · try a Java runtime, or JAVA_HOME; or [spark] remote",
        "Install Java 17, or use a Spark Connect server, for which none is needed here.",
    ),
    "FS463": ErrorCode(
        "Spark cannot be reached",
        "The master or Spark Connect server of the settings did not answer in time, refused, or is gone.",
        "no Spark answers at sc://spark.internal:15002: Connection refused · try start it, or [spark] in featurestore.toml",
        "Look whether it runs and can be reached from here; nothing was changed, the same command can be given again.",
    ),
    "FS464": ErrorCode(
        "Executors lack featurestore",
        "Spines, times and on-demand features are read by this package on Spark's executors, and it is not installed there.",
        "featurestore is not installed where Spark's executors run Python · try install it there, or spark.pyspark.python",
        "Install the same version into the Python of the executors, or name that Python by `spark.pyspark.python`.",
    ),
    "FS475": ErrorCode(
        "A database cannot be reached",
        "PostgreSQL does not run there, the host or database does not exist, or nothing answers in time.",
        "the database cannot be reached: connection to server at \"10.0.0.7\", port 5432 failed: Connection refused",
        "Start it, or mend `url=` or what libpq's environment says (PGHOST, PGPORT, PGDATABASE).",
    ),
    "FS476": ErrorCode(
        "A database does not let us in",
        "The password is missing or wrong, the user may not connect from here, or what names the database cannot be read.",
        "the environment variable PAYMENTS_URL is not set: it is to hold the url of the database",
        "Give the password by PGPASSWORD, a password file, a service file, or a variable that `url=\"$NAME\"` names.",
    ),
    "FS477": ErrorCode(
        "A database ended a reading",
        "The server stopped, the connection broke, or a limit of time or memory was reached. Nothing was written.",
        "the database ended the reading of public.payments: canceling statement due to statement timeout · try run again",
        "Run again; raise the user's `statement_timeout`, such as by `?options=-cstatement_timeout%3D0` in the url.",
    ),
    "FS480": ErrorCode(
        "A library is not installed",
        "A source lies where only a library reads that `pip install featurestore` does not bring along.",
        "an s3:// source needs the library 's3fs', which is not installed · try pip install featurestore[s3]",
        "Install the extra that the error names.",
    ),
    "FS481": ErrorCode(
        "A table's log or catalog cannot be reached",
        "The object store of a Delta table or the catalog of an Iceberg table does not answer, refuses, or is not configured.",
        "the catalog of Iceberg table default.db.payments cannot be asked: URI missing · try PYICEBERG_CATALOG__…",
        "Say in the environment (or .pyiceberg.yaml) where it is and what opens it; a definition never holds that. Try again.",
    ),
    "FS482": ErrorCode(
        "An object store refuses access",
        "The environment and the machine's profile hold no credentials, or wrong ones, or such as may not list or read there.",
        "there are no credentials for s3:// · in s3://bucket/payments/*.parquet · try AWS_ACCESS_KEY_ID and …",
        "Set credentials in the environment or a profile, as the store's own tools take them; a definition never holds them.",
    ),
    "FS483": ErrorCode(
        "An object store does not answer",
        "The endpoint cannot be reached, takes too long, or fails.",
        "the store of s3:// does not answer (EndpointConnectionError) · in s3://bucket/payments · try the network, or …",
        "Check the network and the endpoint (AWS_ENDPOINT_URL), then run again: nothing was written.",
    ),
    "FS484": ErrorCode(
        "No secret to hash keys with",
        "`[serve_log] hash_keys` is on, and the file of the secret cannot be made or read, or holds something else.",
        "no secret to hash keys with: permission denied · in .featurestore/serve_log.secret · try [serve_log] secret",
        "Let the server read the file, or name another. With a new secret, hashes no longer match those logged before.",
    ),
    "FS485": ErrorCode(
        "A file of the serve log cannot be read",
        "Something else wrote or damaged it, or a newer featurestore did.",
        "cannot be read: it is no file of a serve log · in …/fraud_v1/2026-01-02/1_2_x.parquet · try the log without that file",
        "Move the file away, or use the newer version.",
    ),
    "FS486": ErrorCode(
        "The serve log cannot be written",
        "Its folder cannot be made, or the server's user may not write there. Said at the start only: a disk that fails later "
        "costs rows, which are counted, and no answers.",
        "cannot write the serve log: permission denied · in serve_log · try [serve_log] path",
        "Let the server write there, name another folder, or start it with --no-serve-log.",
    ),
    "FS488": ErrorCode(
        "Results of a newer version",
        "The folder of `[monitor] path` holds results whose format this featurestore does not know.",
        "results of a newer featurestore · in .featurestore/monitor/2026-01-02.jsonl · try a newer featurestore",
        "Use the newer version, or name another folder.",
    ),
    "FS489": ErrorCode(
        "Another monitor runs",
        "One monitor at a time works in the folder of `[monitor] path`; this one found it held.",
        "another monitor works in '.featurestore/monitor' · try that one, or --once when it has stopped",
        "Stop the other one. A monitor that was killed holds nothing.",
    ),
    "FS490": ErrorCode(
        "The open alerts cannot be read",
        "`alerts.json` in the folder of `[monitor] path` was changed by hand, or written by a newer featurestore.",
        "alerts cannot be read: JSONDecodeError · in .featurestore/monitor/alerts.json · try without the file, …",
        "Use the newer version, or remove the file: all that alerts then opens again, and is told once more.",
    ),
    "FS492": ErrorCode(
        "No rule could be judged",
        "All that the rules of a policy look at is missing: no training set was named, its rows cannot be read, or there "
        "are no results in their windows.",
        "no rule could be judged: no result of drift with psi in the last 7d · try --training-set FILE, or …",
        "Name the training set, and let `featurestore monitor` write results.",
    ),
    "FS493": ErrorCode(
        "No such policy",
        "The file of `should-retrain --policy` is not there.",
        "no policy 'retrain.toml' · in . · try a TOML file with [[rule]]",
        "Name a file that is there.",
    ),
    "FS501": ErrorCode(
        "The online store does not know the service",
        "No service of that name can be answered: it was never materialized, or is misspelt.",
        "the online store cannot answer feature service 'fraud_v2' · known: fraud_v1 · try featurestore materialize",
        "Materialize it, or take a name that is known.",
    ),
    "FS502": ErrorCode(
        "A wrong or missing name in a look-up",
        "A key or request column is unknown, missing or given twice, or an include does not exist.",
        "missing key 'merchant_id' · known: customer_id, merchant_id · try merchant_id=…",
        "Give exactly the service's key columns and request columns.",
    ),
    "FS503": ErrorCode(
        "Before the watermark",
        "The online store answers from its watermark on; the past before it is gone there.",
        "as_of 2025-01-01T00:00:00.000000Z is before the watermark 2026-01-01T00:00:00.000000Z of view 'card_payments'",
        "Ask for a later instant; for the past, build a training set.",
    ),
    "FS504": ErrorCode(
        "A value of the wrong type",
        "The value is not of the key's family or the request column's type, or columns have unequal lengths.",
        "key 'customer_id' takes integer, got 'abc' · try customer_id=42",
        "Give a value of the kind named; one per row in each column.",
    ),
    "FS505": ErrorCode(
        "The body is not JSON",
        "The request's body cannot be parsed, or names a member twice.",
        "the body is not JSON: unexpected end of data",
        "Send one JSON object.",
    ),
    "FS506": ErrorCode(
        "A field of the wrong shape",
        "A field of the request is unknown or does not hold what it should.",
        "unknown field 'entity' · known: feature_service, entities, … · try entities",
        "The schema is at /docs of the server.",
    ),
    "FS507": ErrorCode(
        "Not JSON by its content type",
        "The request has another content type.",
        "the content type is 'text/plain' · try Content-Type: application/json",
        "Send `Content-Type: application/json`.",
    ),
    "FS508": ErrorCode(
        "The request is too large or too slow",
        "It is beyond `max_rows`, `max_cells` or `max_body` of `[server]`, or did not arrive within its `receive_deadline`.",
        "the body has more than 8000000 bytes · try smaller requests, or [server] max_body",
        "Split the request, or raise the limit.",
    ),
    "FS509": ErrorCode(
        "No such address",
        "The server has no such path, or the path does not take this method.",
        "GET /v1/features: Not Found",
        "GET /docs lists the paths.",
    ),
    "FS510": ErrorCode(
        "The server is not ready",
        "Some service has no generation yet.",
        "no generation yet of feature service 'fraud_v1' · try featurestore materialize",
        "Run `featurestore materialize`; the server takes notice by itself.",
    ),
    "FS511": ErrorCode(
        "The server failed",
        "Something unforeseen happened while a request was answered.",
        "the server failed; its log says how",
        "Read the server's log; report it.",
    ),
    "FS512": ErrorCode(
        "A page asked for under a name that is not this machine's",
        "Without API keys the server is for this machine alone, and its pages answer to 127.0.0.1, [::1] and localhost only: "
        "another site whose name was made to mean this machine could read them otherwise.",
        "without API keys pages are for this machine only · try http://127.0.0.1 or http://localhost",
        "Go to http://127.0.0.1, or have API keys: `featurestore keys add NAME` and `[server] api_keys`.",
    ),
    "FS513": ErrorCode(
        "A sign-in sent by a page from elsewhere",
        "A browser says that another site's page sends the form, which would sign somebody in without their knowing.",
        "sign-in is asked for by a page from elsewhere",
        "Go to /sign-in of the server itself.",
    ),
    "FS521": ErrorCode(
        "No valid API key",
        "The request has no API key, or one that the server does not know (any more).",
        "this server asks for an API key · try Authorization: Bearer …",
        "Send a key as `Authorization: Bearer …` or `X-API-Key`; `featurestore keys add` makes one.",
    ),
    "FS522": ErrorCode(
        "The API key does not allow this",
        "The key lacks the scope, or the feature service is not among those it is limited to.",
        "the API key 'scorer' may not ask for feature service 'fraud_v2' · known: fraud_v1 · try featurestore keys add",
        "Use a key made for it: `featurestore keys add NAME --service S --scope lookup`.",
    ),
    "FS523": ErrorCode(
        "The server is busy",
        "More requests or connections wait in one process than `[server] max_queue` and `max_connections` allow.",
        "too many requests wait for an answer · try the same request again, a little later",
        "Ask again after Retry-After; if it stays so, more `--workers` or servers.",
    ),
    "FS524": ErrorCode(
        "Not a request",
        "What came is no HTTP/1.1, or its head is too large.",
        "this is no request of HTTP/1.1",
        "Mend the client; only plain HTTP/1.1 is spoken here.",
    ),
    "FS540": ErrorCode(
        "Pushing is off",
        "The server takes no rows unless its settings say so.",
        "this server takes no rows · try push = true in [server]",
        "Set `[server] push = true` and start the server again.",
    ),
    "FS560": ErrorCode(
        "No such view or feature online",
        "A `view:feature` of a look-up in Feast's form names a view without a generation, or a feature it does not have.",
        "view 'card_payments' has no feature 'amount_sum_2d' · known: card_country, count_1h, … · try amount_sum_1d",
        "Take a name that is known; materialize a new view, and put a new on-demand view into a service.",
    ),
    "FS561": ErrorCode(
        "No format that is accepted",
        "The request's Accept header admits none of the formats that answers come in.",
        "no answer comes as 'text/csv' · try Accept: application/json or application/vnd.apache.arrow.stream",
        "Accept JSON or an Arrow stream, or leave the header out.",
    ),
    "FS562": ErrorCode(
        "A value the store cannot vouch for",
        "A cell of a look-up in Feast's form is stale or unavailable; Feast's clients would take it for absent.",
        "'amount_sum_1d' is stale for entity 3 of the request · try featurestore materialize; …",
        "Materialize. `POST /v1/online-features` answers all other cells, and says which ones it cannot.",
    ),
    "FS563": ErrorCode(
        "The server cannot be reached",
        "`Client` got no connection to the server, or no answer in time.",
        "http://127.0.0.1:8000 cannot be reached: [Errno 111] Connection refused · try featurestore serve",
        "Start the server, mend the address, or give `timeout=` more seconds.",
    ),
    "FS564": ErrorCode(
        "Something else answered",
        "`Client` got an answer that no featurestore server gives: another program, a proxy, or another version.",
        "http://127.0.0.1:8000/ready answered 502 with text/html: '<html>…'",
        "Mend the address, or look at what stands between client and server.",
    ),
    "FS565": ErrorCode(
        "The client was used in a way it cannot serve",
        "Its URL or API key is none, the name of a source cannot be one, or statuses were read that were not asked for.",
        "statuses were not asked for · try include=(\"statuses\",)",
        "Give what the message names.",
    ),
    "FS566": ErrorCode(
        "The client needs httpx",
        "`Client` and `AsyncClient` speak HTTP by httpx, which comes with the extra `client`.",
        "the client needs httpx, which is not installed · try pip install 'featurestore[client]'",
        "Install the extra.",
    ),
    "FS901": ErrorCode(
        "Something unforeseen",
        "A defect of this program, or of a library below it.",
        "unexpected ValueError: … · try -v for the traceback",
        "Run again with `-v` and report the traceback.",
    ),
    "FS902": ErrorCode(
        "Interrupted",
        "Ctrl-C (SIGINT, exit 130) or SIGTERM (exit 143). What was there before stands; nothing is half-written.",
        "interrupted · try the same command again: nothing is half-written",
        "Run the command again.",
    ),
}  # fmt: skip


__all__ = ["CODES", "ErrorCode"]
