"""OpenLineage: what builds and materializations read and write, told to who collects lineage. Off unless the settings name a
receiver; then nothing here is imported but `observed`.

    observed   which methods are told of                     datasets  how sources, files and stores are named there
    runs       when what is told: START, COMPLETE, FAIL, ABORT   facets    what is told, as the specification spells it
    sending    on its way: a bounded wait, nothing raised
"""
