"""The words of the generated world, chosen to break code that mistreats text: accents both composed and combining,
scripts beyond Latin, right-to-left, emoji (joined ones too), an apostrophe, an inner blank."""

from __future__ import annotations

COUNTRIES = ("DE", "FR", "PL", "GB", "CH", "BR", "CN", "JP")
CURRENCIES = ("EUR", "EUR", "PLN", "GBP", "CHF", "BRL", "CNY", "JPY")
"""One per country, in the order of COUNTRIES."""

CITIES = (
    "Berlin", "Köln", "Paris", "Orléans", "Kraków", "Krako\u0301w", "London", "Zürich", "São Paulo", "北京", "上海",
    "東京", "إسطنبول", "Saint-Denis 🏟️", None,
)  # fmt: skip
"""Kraków stands here twice: composed, and with a combining accent. They look alike and are different values."""

FIRST_NAMES = (
    "Zoë", "Zoe\u0308", "José", "Siân", "Łukasz", "Björk", "O'Neil", "李", "さくら", "Nadia", "Émile", "Åsa", "عمر",
    "Ana María",
)  # fmt: skip
LAST_NAMES = ("Müller", "Nguyễn", "Kowalska", "García", "王", "d'Arc", "Sørensen", "Smith", "Çelik", "Иванова")
SEGMENTS = ("basic", "basic", "basic", "plus", "plus", "private", None)

CATEGORIES = ("grocery", "travel", "fuel", "electronics", "café", "pharmacy", "gambling", "charity")
SHOP_NAMES = (
    "Café Zoë", "Cafe\u0301 Zoe\u0308", "北京饭店", "Bäckerei Groß", "Pop 🛒 Up", "Kwik-E", "Ørsted & Søn",
    "Tante Emma", "Fly 👩\u200d✈️ Away", "Apotheke", "東京電器", "Пекарня",
)  # fmt: skip
REASONS = ("fraud", "fraud", "not received", "wrong amount", "doppelt abgebucht", "nicht wie beschrieben 😠")

NETWORKS = ("visa", "visa", "mastercard", "mastercard", "amex", "unionpay", "jcb")
PRODUCTS = ("debit", "debit", "credit", "prepaid", None)
