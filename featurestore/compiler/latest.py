"""How a statement of any dialect tells, in its column `__match`, how the newest fact of a row was found."""

NOT_FOUND, FOUND, EXPIRED = 0, 1, 2
