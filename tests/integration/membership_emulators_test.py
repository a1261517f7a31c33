"""What of membership_test.py depends on Google, against Google's own emulators; skipped with a reason without them."""

import pytest

from members import MembersStack, why_no_google
from membership_test import (  # noqa: F401  (fixtures and tests are found by their names)
    flaky, service, start, test_active_member_is_told_noted_and_claimed, test_closed_or_revoked_account_is_401,
    test_everybody_else_is_not, test_google_down_is_503_and_the_next_call_is_right, test_google_failing_once_is_not_noticed,
    test_kennitala_with_hyphen_in_the_token, test_missing_user_document_is_made, test_parallel_calls_agree,
    test_record_no_member_can_write_wins, test_token_matrix)

pytestmark = pytest.mark.skipif(bool(why_no_google()), reason=str(why_no_google()))


@pytest.fixture(scope="module")
def members():
    with MembersStack(google=True) as stack:
        yield stack
