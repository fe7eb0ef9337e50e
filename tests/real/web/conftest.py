"""The fixtures of `tests/web`: here are the long ways through the page, driven in a real browser."""

from tests.web.conftest import serve as serve
from tests.web.conftest import session as session
from tests.web.conftest import store as store
from tests.web.conftest import visit as visit
