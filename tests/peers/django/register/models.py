"""Members, how they are reached, where they live, what they belong to."""

import time

from django.db import models, transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest


class MapAddress(models.Model):
    """What the register knows of the registry of addresses; hnitnum is the registry's id of the point."""
    hnitnum = models.IntegerField(unique=True)
    street = models.CharField(max_length=200)
    number = models.IntegerField()
    letter = models.CharField(max_length=10, blank=True)
    postal_code = models.IntegerField()
    city = models.CharField(max_length=100)


class Union(models.Model):
    name = models.CharField(max_length=200)
    abbreviation = models.CharField(max_length=20, blank=True)
    logo = models.CharField(max_length=200, blank=True)


class Title(models.Model):
    name = models.CharField(max_length=200)


class Member(models.Model):
    ssn = models.CharField(max_length=11, unique=True)
    name = models.CharField(max_length=100)
    birthday = models.DateField(null=True)
    date_joined = models.DateTimeField(null=True)
    gender = models.IntegerField(null=True)
    housing_situation = models.IntegerField(null=True)
    reachable = models.BooleanField(default=True)
    groupable = models.BooleanField(default=True)
    unions = models.ManyToManyField(Union)
    titles = models.ManyToManyField(Title)
    # Of the login account behind the member; a full sync makes roles of them.
    is_staff = models.BooleanField(default=False)
    is_superuser = models.BooleanField(default=False)
    # Microseconds of the last change, and always above the one before: what events are ordered by.
    version = models.BigIntegerField(default=0)

    def save(self, *args, **kwargs):
        """The version is raised by the database, so its order is the order of the changes."""
        with transaction.atomic():
            row = Member.objects.filter(pk=self.pk)
            if self.pk is None:
                self.version = self.next_version()
            else:
                row.update(version=Greatest(F("version") + 1, Value(time.time_ns() // 1000)))
                self.version = row.values_list("version", flat=True).get()
            super().save(*args, **kwargs)

    def next_version(self):
        return max(self.version + 1, time.time_ns() // 1000)


class ContactInfo(models.Model):
    member = models.OneToOneField(Member, models.CASCADE, related_name="contact_info")
    email = models.CharField(max_length=254, null=True)
    phone = models.CharField(max_length=30, null=True)
    foreign_phone = models.CharField(max_length=30, null=True)
    facebook = models.CharField(max_length=200, null=True)


class LocalAddress(models.Model):
    """The current address in Iceland; without map_address it is unlocated and only text."""
    member = models.OneToOneField(Member, models.CASCADE, related_name="local_address")
    map_address = models.ForeignKey(MapAddress, models.SET_NULL, null=True)
    street = models.CharField(max_length=200)
    number = models.IntegerField(null=True)
    letter = models.CharField(max_length=10, blank=True)
    postal_code = models.IntegerField(null=True)
    city = models.CharField(max_length=100, blank=True)


class ForeignAddress(models.Model):
    member = models.ForeignKey(Member, models.CASCADE, related_name="foreign_addresses")
    country = models.IntegerField()
    current = models.BooleanField(default=True)
    municipality = models.CharField(max_length=100, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    address = models.CharField(max_length=200)


class Ticket(models.Model):
    """A key that ends by itself and opens no more than its scope says."""
    key = models.CharField(max_length=64, unique=True)
    scope = models.CharField(max_length=200)
    expires_at = models.DateTimeField()
