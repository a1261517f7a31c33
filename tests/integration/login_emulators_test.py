"""What of login_test.py depends on Google, against Google's own emulators; skipped with a reason without them."""

import pytest

from login_limit_test import (  # noqa: F401  (tests are found by their names)
    test_limit_document_holds_no_address_and_expires,
    test_limit_is_exact_under_64_parallel_calls_over_two_instances,
    test_limit_retry_after_is_true_and_window_slides,
    test_limit_store_down_does_what_the_setting_says)
from login_test import (  # noqa: F401  (fixtures and tests are found by their names)
    flaky, kenni, login, shared_kenni, shared_login, start, test_google_answer_lost_once_is_not_noticed,
    test_google_failing_at_each_step_leaves_a_repeatable_login, test_google_failing_once_is_not_noticed,
    test_health_and_ready_say_which_dependency_is_down, test_login_again_same_uid_and_updates,
    test_login_deleted_member_is_told, test_login_disabled_account_is_refused_and_untouched,
    test_login_known_person_keeps_uid_of_the_former_deployment,
    test_login_new_person_gets_account_document_claims_and_token, test_login_token_is_taken_by_the_auth_service,
    test_login_two_old_accounts_always_the_oldest, test_login_unverified_contact_never_replaces_verified,
    test_parallel_first_logins_over_two_instances_make_one_account,
    test_parallel_login_and_claims_of_others_lose_nothing)
from members import MembersStack, why_no_google

pytestmark = pytest.mark.skipif(bool(why_no_google()), reason=str(why_no_google()))


@pytest.fixture(scope="module")
def members():
    with MembersStack(google=True) as stack:
        yield stack
