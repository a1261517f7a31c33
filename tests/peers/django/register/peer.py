"""What a test needs of a register beyond its API: make and remove members, see calls, misbehave.

    GET    /health                  200, also as /health/ready
Answers below /_peer/ without authentication; the server listens on loopback only.
    POST   /_peer/members           [{ssn, name, …}, …] of rows alone, told to nobody; or one of them in full:
                                    {ssn, name, …, contact_info{}, local_address{}, foreign_addresses[], unions[]}
    PATCH  /_peer/members/{id}      fields of the member row, as a person in the office would change them
    DELETE /_peer/members/{id}
    POST   /_peer/faults            {method, path, kind, times, seconds}: kind is refuse_success | status | half |
                                    hang | html | huge | wrong_types | meet; `status` takes `code`; `meet` does the
                                    work once `calls` of such calls are in progress, or `seconds` are over
    GET    /_peer/overlap           {most}: calls that met were in progress at once, at most
    GET    /_peer/calls             API calls so far: [{method, path, body}]
    GET    /_peer/events            webhooks sent so far
    GET    /_peer/deliveries        their statuses; 0 for a connection error
    DELETE /_peer                   forgets calls, events, deliveries and faults
"""

import json
import threading
import time

from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

_lock = threading.Lock()
_calls, _events, _deliveries, _faults = [], [], [], []
_progress = threading.Condition(_lock)
_met = {"now": 0, "most": 0}
# SQLite refuses the second of two transactions that began by reading; the register's own database does not.
_writes = threading.Lock()
SECRET_TEXT = "psycopg2.OperationalError: member 0101302989 at /srv/felagar/models.py"


def note_event(event):
    with _lock:
        _events.append(event)


def note_delivery(status):
    with _lock:
        _deliveries.append(status)


def _take_fault(method, path):
    with _lock:
        for fault in _faults:
            if fault["method"] == method and path.startswith(fault["path"]) and fault["times"] > 0:
                fault["times"] -= 1
                return dict(fault)
    return None


def _half(content):
    return HttpResponse(content[:max(1, len(content) // 2)], content_type="application/json")


class FaultMiddleware:
    """Notes API calls and answers in place of the API when a fault is set; `late` faults act after the work is done."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.path.startswith(("/_peer", "/health")):
            return self.get_response(request)
        body = request.body.decode("utf-8", "replace")
        with _lock:
            _calls.append({"method": request.method, "path": request.get_full_path(),
                           "body": json.loads(body) if body.startswith("{") else None})
        fault = _take_fault(request.method, request.path)
        if fault is None:
            return self.work(request)
        if fault["kind"] == "meet":
            return self.meet(fault, request)
        return self.answer(fault, self.work(request) if fault.get("late") else None)

    def meet(self, fault, request):
        with _progress:
            _met["now"] += 1
            _met["most"] = max(_met["most"], _met["now"])
            _progress.notify_all()
            _progress.wait_for(lambda: _met["most"] >= fault["calls"], fault.get("seconds", 10))
        try:
            return self.work(request)
        finally:
            with _progress:
                _met["now"] -= 1

    def work(self, request):
        if request.method == "GET":
            return self.get_response(request)
        with _writes:
            return self.get_response(request)

    @staticmethod
    def answer(fault, reply):
        kind = fault["kind"]
        if kind == "hang":
            time.sleep(fault.get("seconds", 30))
            return reply or JsonResponse({}, status=503)
        if kind == "status":
            return JsonResponse({"detail": SECRET_TEXT}, status=fault["code"])
        if kind == "refuse_success":
            return JsonResponse({"success": False, "message": SECRET_TEXT, "address_linked": False})
        if kind == "html":
            return HttpResponse(f"<html><h1>{SECRET_TEXT}</h1></html>")
        if kind == "huge":
            return HttpResponse(b" " * (3 << 20), content_type="application/json")
        if kind == "wrong_types":
            return JsonResponse({"id": "x", "ssn": 7, "success": "yes", "address_linked": []})
        assert kind == "half", kind
        return _half(reply.content if reply is not None else b'{"id": 1, "ssn": "0101302989"}')


@csrf_exempt
def forget(request):
    with _lock:
        for one in (_calls, _events, _deliveries, _faults):
            one.clear()
        _met["most"] = _met["now"]
    return JsonResponse({})


def health(_):
    return JsonResponse({"status": "ok"})


def overlap(request):
    with _lock:
        return JsonResponse({"most": _met["most"]})


def calls(request):
    with _lock:
        return JsonResponse({"calls": list(_calls)})


def events(request):
    with _lock:
        return JsonResponse({"events": list(_events)})


def deliveries(request):
    with _lock:
        return JsonResponse({"deliveries": list(_deliveries)})


@csrf_exempt
def faults(request):
    fault = {"method": "GET", "path": "/", "times": 1, **json.loads(request.body)}
    with _lock:
        _faults.append(fault)
    return JsonResponse({})


def _fill(member, wanted):
    from register.models import ContactInfo, ForeignAddress, LocalAddress, Title, Union
    if wanted.get("contact_info"):
        ContactInfo.objects.update_or_create(member=member, defaults=wanted["contact_info"])
    if wanted.get("local_address"):
        LocalAddress.objects.update_or_create(member=member, defaults=wanted["local_address"])
    if "foreign_addresses" in wanted:
        member.foreign_addresses.all().delete()
        for one in wanted["foreign_addresses"]:
            ForeignAddress.objects.create(member=member, **one)
    for name, model in (("unions", Union), ("titles", Title)):
        if name in wanted:
            getattr(member, name).set([model.objects.get_or_create(name=one)[0] for one in wanted[name]])


RELATED = ("contact_info", "local_address", "foreign_addresses", "unions", "titles")


@csrf_exempt
def members(request):
    with _writes:
        return make_member(request)


def make_member(request):
    from register.models import Member
    wanted = json.loads(request.body)
    if isinstance(wanted, list):  # as they were before the first full sync: no signals, no related rows
        Member.objects.bulk_create(Member(**one, version=n + 1) for n, one in enumerate(wanted))
        return JsonResponse({"count": len(wanted)})
    quiet = wanted.pop("quiet", False)
    member = Member(**{name: value for name, value in wanted.items() if name not in RELATED})
    member.quiet = True  # one event, when all of it is there
    member.save()
    _fill(member, wanted)
    if not quiet:
        from register.serializers import event_data
        from register.signals import send
        send("create", member, member.version, event_data(member))
    return JsonResponse({"id": member.pk, "version": member.version})


@csrf_exempt
def member(request, pk):
    with _writes:
        return change_member(request, pk)


def change_member(request, pk):
    from register.models import Member
    found = Member.objects.get(pk=pk)
    if request.method == "DELETE":
        found.delete()
        return JsonResponse({})
    wanted = json.loads(request.body)
    _fill(found, wanted)
    found = Member.objects.get(pk=pk)
    found.quiet = wanted.pop("quiet", False)
    for name, value in wanted.items():
        if name not in RELATED:
            setattr(found, name, value)
    found.save()
    return JsonResponse({"id": found.pk, "version": found.version})
